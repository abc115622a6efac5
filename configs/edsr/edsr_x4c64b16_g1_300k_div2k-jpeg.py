_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k_jpeg.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
