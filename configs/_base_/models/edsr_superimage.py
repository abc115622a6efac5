# EDSR-baseline as super-image trains it: on 0..1, no mean subtracted.
_base_ = './edsr_baseline.py'
model = dict(backbone=dict(img_range=1.0, rgb_mean=None))
