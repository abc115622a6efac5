# EDSR-baseline on a schedule of our own, apart from the published recipe. Not yet trained.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_fast.py',
    '../_base_/default_runtime.py',
]
scale = 2
ema = 0.999
amp = True
