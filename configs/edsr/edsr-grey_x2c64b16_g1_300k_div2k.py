# One channel: colour pictures are read as luma.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 2
model = dict(backbone=dict(in_channels=1, out_channels=1))
