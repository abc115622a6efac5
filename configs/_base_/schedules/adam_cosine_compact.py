# A schedule for compact networks and little time: a high rate that falls along a cosine.
_base_ = './adam_300k.py'
max_iters = 24_000
val_interval = 2_000
checkpoint_interval = 500
optim_wrapper = dict(optimizer=dict(lr=1e-3, betas=(0.9, 0.99)))
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-6)
]
