_base_ = [
    '../_base_/models/srresnet.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 3
model = dict(loss=dict(type='L1Loss'))
