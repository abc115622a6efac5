# A shorter way to the same place, not published by anyone: four times the batch and, by the linear
# rule, four times the rate of the published schedule, after a warm-up along a cosine to nothing,
# in bfloat16, scored with averaged weights.
_base_ = './adam_300k.py'
max_iters = 60_000
global_batch_size = 64
auto_scale_lr = dict(base_batch_size=64)
val_interval = 2_000
checkpoint_interval = 2_000
optim_wrapper = dict(optimizer=dict(lr=4e-4, betas=(0.9, 0.99)))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.01, end=1_000),
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-7)
]
