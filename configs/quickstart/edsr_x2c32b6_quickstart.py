# A small EDSR that learns enough in a few minutes on two CPU cores. `superres quickstart` packs
# its pictures, trains it and compares it with bicubic.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 2
data_root = 'data/quickstart'
train_set = 'train'
val_sets = ['valid']
test_sets = ['holdout']
lq_patch_size = 32
num_workers = 1
model = dict(backbone=dict(channels=32, num_blocks=6))
max_iters = 2000
global_batch_size = 16
val_interval = 500
checkpoint_interval = 200
log_interval = 50
max_keep_checkpoints = 2
ema = 0.99
optim_wrapper = dict(optimizer=dict(lr=1e-3, betas=(0.9, 0.99)))
param_scheduler = [
    dict(type='CosineAnnealingLR', by_epoch=False, eta_min=1e-5)
]
