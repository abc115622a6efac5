accumulate = 1
amp = 'bfloat16'
auto_scale_lr = dict(base_batch_size=16, enable=False)
checkpoint_interval = 500
custom_hooks = [
    dict(type='CpuSecondsHook'),
]
custom_imports = dict(imports=[
    'superres.recipes',
])
data_root = 'data'
default_scope = 'superres'
deterministic = False
ema = dict(begin=1000, decay=0.999)
fast = 'auto'
global_batch_size = 16
load_from = None
log_interval = 100
lq_patch_size = 64
max_iters = 16000
max_keep_checkpoints = 2
model = dict(
    backbone=dict(
        channels=32, num_blocks=8, res_scale=1.0, scale=2, type='EDSR'),
    loss=dict(type='L1Loss'),
    type='Restorer')
num_workers = 0
optim_wrapper = dict(
    optimizer=dict(lr=0.001, type='ConvMuon'), type='OptimWrapper')
param_scheduler = [
    dict(by_epoch=False, end=200, start_factor=0.01, type='LinearLR'),
    dict(
        T_max=10000,
        begin=6000,
        by_epoch=False,
        eta_min=1e-06,
        type='CosineAnnealingLR'),
]
protocols = dict(DIV2K_valid_256='edsr-y')
recompute = []
save_best = 'auto'
scale = 2
seed = 0
tensorboard = True
test_sets = [
    'Set5?',
    'Set14?',
]
train_dataloader = dict(
    dataset=dict(
        data_root='data',
        name='541',
        pipeline=[
            dict(
                before=[
                    (
                        24,
                        6000,
                    ),
                    (
                        48,
                        12500,
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
                6000,
            ),
            (
                48,
                12500,
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
val_interval = 1000
val_sets = [
    'DIV2K_valid_256',
]
