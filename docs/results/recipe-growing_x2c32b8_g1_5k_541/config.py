accumulate = 1
amp = 'bfloat16'
auto_scale_lr = dict(base_batch_size=16, enable=False)
checkpoint_interval = 250
custom_hooks = [
    dict(type='CpuSecondsHook'),
]
custom_imports = dict(imports=[
    'superres.recipes',
])
data_root = 'data'
default_scope = 'superres'
deterministic = False
ema = None
fast = 'auto'
global_batch_size = 16
load_from = None
log_interval = 50
lq_patch_size = 64
max_iters = 5740
max_keep_checkpoints = 5
model = dict(
    backbone=dict(
        channels=32, num_blocks=8, res_scale=1.0, scale=2, type='EDSR'),
    loss=dict(type='L1Loss'),
    type='Restorer')
num_workers = 0
optim_wrapper = dict(
    optimizer=dict(betas=(
        0.9,
        0.99,
    ), eps=1e-08, lr=0.001, type='Adam'),
    type='OptimWrapper')
param_scheduler = [
    dict(by_epoch=False, end=200, start_factor=0.01, type='LinearLR'),
    dict(
        T_max=2740,
        begin=3000,
        by_epoch=False,
        eta_min=1e-06,
        type='CosineAnnealingLR'),
]
protocols = dict(DIV2K_valid_256='edsr-y')
recompute = []
save_best = None
scale = 2
seed = 0
tensorboard = True
test_sets = []
train_dataloader = dict(
    dataset=dict(
        data_root='data',
        name='541',
        pipeline=[
            dict(
                before=[
                    (
                        24,
                        3000,
                    ),
                    (
                        48,
                        4900,
                    ),
                ],
                global_batch_size=16,
                lq_patch_size=64,
                type='GrowingRandomCrop'),
            dict(direction='horizontal', type='RandomFlip'),
            dict(direction='vertical', type='RandomFlip'),
            dict(type='RandomTranspose'),
            dict(type='PackInputs'),
        ],
        scale=2,
        type='PairedDataset'),
    num_workers=0,
    prefetch_factor=16,
    start_method=None)
train_pipeline = [
    dict(
        before=[
            (
                24,
                3000,
            ),
            (
                48,
                4900,
            ),
        ],
        global_batch_size=16,
        lq_patch_size=64,
        type='GrowingRandomCrop'),
    dict(direction='horizontal', type='RandomFlip'),
    dict(direction='vertical', type='RandomFlip'),
    dict(type='RandomTranspose'),
    dict(type='PackInputs'),
]
train_set = '541'
val_interval = 250
val_sets = [
    'Set5',
]
