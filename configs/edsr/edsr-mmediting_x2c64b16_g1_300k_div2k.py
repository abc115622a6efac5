_base_ = [
    '../_base_/models/edsr_mmediting.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='EDSR-baseline', tables=['mmediting'])
protocols = 'mmediting-rgb'
