accumulate = 1
amp = 'bfloat16'
auto_scale_lr = dict(base_batch_size=16, enable=False)
checkpoint_interval = 500
custom_hooks = []
data_root = 'data'
default_scope = 'superres'
deterministic = False
ema = None
fast = 'auto'
global_batch_size = 16
load_from = None
log_interval = 100
lq_patch_size = 48
max_iters = 10000
max_keep_checkpoints = 2
model = dict(
    backbone=dict(
        channels=64,
        global_skip=False,
        num_blocks=1,
        scale=2,
        type='SRCNNAblation',
        upsample='before'),
    loss=dict(type='L1Loss'),
    type='Restorer')
num_workers = 1
optim_wrapper = dict(
    optimizer=dict(betas=(
        0.9,
        0.99,
    ), eps=1e-08, lr=0.001, type='Adam'),
    type='OptimWrapper')
param_scheduler = [
    dict(T_max=10000, by_epoch=False, eta_min=1e-06, type='CosineAnnealingLR'),
]
protocols = dict(DIV2K_valid_256='edsr-y')
published = dict(
    method='ablation task 1', tables=[
        'ablation',
    ])
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
        name='291',
        pipeline=[
            dict(lq_patch_size=48, type='PairedRandomCrop'),
            dict(direction='horizontal', type='RandomFlip'),
            dict(direction='vertical', type='RandomFlip'),
            dict(type='RandomTranspose'),
            dict(type='PackInputs'),
        ],
        scale=2,
        type='PairedDataset'),
    num_workers=1,
    prefetch_factor=16,
    start_method=None)
train_pipeline = [
    dict(lq_patch_size=48, type='PairedRandomCrop'),
    dict(direction='horizontal', type='RandomFlip'),
    dict(direction='vertical', type='RandomFlip'),
    dict(type='RandomTranspose'),
    dict(type='PackInputs'),
]
train_set = '291'
val_interval = 2000
val_sets = [
    'DIV2K_valid_256',
]
