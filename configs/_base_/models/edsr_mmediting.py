# EDSR-baseline as MMEditing trains it: on 0..1, Kaiming-normal weights, those of blocks times 0.1.
_base_ = './edsr_baseline.py'
model = dict(backbone=dict(img_range=1.0, init='mmediting'))
