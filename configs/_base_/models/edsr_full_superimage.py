# EDSR as super-image trains it: on 0..1, no mean subtracted, and no residual scaling.
_base_ = './edsr_full.py'
model = dict(backbone=dict(img_range=1.0, rgb_mean=None, res_scale=1.0))
