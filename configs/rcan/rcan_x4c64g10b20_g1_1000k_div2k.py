_base_ = [
    '../_base_/models/rcan.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_1000k_halving.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='RCAN', tables=['rcan_paper'])
