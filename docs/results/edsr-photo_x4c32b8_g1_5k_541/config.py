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
degradation = dict(
    steps=[
        dict(
            choices=[
                dict(type='ResizeToLq'),
                [
                    dict(
                        kernel_size=7,
                        prob=0.15,
                        sigma=[
                            0.3,
                            1,
                        ],
                        type='RandomGaussianBlur'),
                    dict(
                        method=[
                            'bicubic',
                            'bicubic',
                            'box',
                            'bilinear',
                            'lanczos3',
                        ],
                        type='ResizeToLq'),
                    dict(
                        grey=0.5,
                        level=[
                            0.5,
                            4,
                        ],
                        prob=0.2,
                        type='RandomGaussianNoise'),
                    dict(
                        full_chroma=0.3,
                        prob=0.95,
                        quality=[
                            40,
                            95,
                        ],
                        type='RandomPhotoJpeg'),
                ],
            ],
            odds=[
                0.25,
                0.75,
            ],
            type='OneOf'),
    ],
    type='Degrade')
deterministic = False
ema = dict(begin=500, decay=0.999)
eval_dataset = dict(
    make_lq=dict(
        steps=[
            dict(
                choices=[
                    dict(type='ResizeToLq'),
                    [
                        dict(
                            kernel_size=7,
                            prob=0.15,
                            sigma=[
                                0.3,
                                1,
                            ],
                            type='RandomGaussianBlur'),
                        dict(
                            method=[
                                'bicubic',
                                'bicubic',
                                'box',
                                'bilinear',
                                'lanczos3',
                            ],
                            type='ResizeToLq'),
                        dict(
                            grey=0.5,
                            level=[
                                0.5,
                                4,
                            ],
                            prob=0.2,
                            type='RandomGaussianNoise'),
                        dict(
                            full_chroma=0.3,
                            prob=0.95,
                            quality=[
                                40,
                                95,
                            ],
                            type='RandomPhotoJpeg'),
                    ],
                ],
                odds=[
                    0.25,
                    0.75,
                ],
                type='OneOf'),
        ],
        type='Degrade'))
fast = 'auto'
global_batch_size = 24
load_from = 'edsr-s_x4'
log_interval = 100
lq_patch_size = 36
margin = 8
max_iters = 5000
max_keep_checkpoints = 2
model = dict(
    backbone=dict(
        channels=32, num_blocks=8, res_scale=1.0, scale=4, type='EDSR'),
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
    dict(T_max=5000, by_epoch=False, eta_min=1e-06, type='CosineAnnealingLR'),
]
protocols = dict(DIV2K_valid_256='edsr-y')
recompute = []
save_best = 'auto'
scale = 4
seed = 0
tensorboard = True
test_sets = [
    'Set5?',
    'Set14?',
]
train_dataloader = dict(
    dataset=dict(
        data_root='data',
        make_lq='none',
        name='541',
        pipeline=[
            dict(lq_patch_size=36, margin=8, type='PairedRandomCrop'),
            dict(
                steps=[
                    dict(
                        choices=[
                            dict(type='ResizeToLq'),
                            [
                                dict(
                                    kernel_size=7,
                                    prob=0.15,
                                    sigma=[
                                        0.3,
                                        1,
                                    ],
                                    type='RandomGaussianBlur'),
                                dict(
                                    method=[
                                        'bicubic',
                                        'bicubic',
                                        'box',
                                        'bilinear',
                                        'lanczos3',
                                    ],
                                    type='ResizeToLq'),
                                dict(
                                    grey=0.5,
                                    level=[
                                        0.5,
                                        4,
                                    ],
                                    prob=0.2,
                                    type='RandomGaussianNoise'),
                                dict(
                                    full_chroma=0.3,
                                    prob=0.95,
                                    quality=[
                                        40,
                                        95,
                                    ],
                                    type='RandomPhotoJpeg'),
                            ],
                        ],
                        odds=[
                            0.25,
                            0.75,
                        ],
                        type='OneOf'),
                ],
                type='Degrade'),
            dict(direction='horizontal', type='RandomFlip'),
            dict(direction='vertical', type='RandomFlip'),
            dict(type='RandomTranspose'),
            dict(type='PackInputs'),
        ],
        scale=4,
        type='PairedDataset'),
    num_workers=0,
    prefetch_factor=16,
    start_method=None)
train_pipeline = [
    dict(lq_patch_size=36, margin=8, type='PairedRandomCrop'),
    dict(
        steps=[
            dict(
                choices=[
                    dict(type='ResizeToLq'),
                    [
                        dict(
                            kernel_size=7,
                            prob=0.15,
                            sigma=[
                                0.3,
                                1,
                            ],
                            type='RandomGaussianBlur'),
                        dict(
                            method=[
                                'bicubic',
                                'bicubic',
                                'box',
                                'bilinear',
                                'lanczos3',
                            ],
                            type='ResizeToLq'),
                        dict(
                            grey=0.5,
                            level=[
                                0.5,
                                4,
                            ],
                            prob=0.2,
                            type='RandomGaussianNoise'),
                        dict(
                            full_chroma=0.3,
                            prob=0.95,
                            quality=[
                                40,
                                95,
                            ],
                            type='RandomPhotoJpeg'),
                    ],
                ],
                odds=[
                    0.25,
                    0.75,
                ],
                type='OneOf'),
        ],
        type='Degrade'),
    dict(direction='horizontal', type='RandomFlip'),
    dict(direction='vertical', type='RandomFlip'),
    dict(type='RandomTranspose'),
    dict(type='PackInputs'),
]
train_set = '541'
val_interval = 500
val_sets = [
    'DIV2K_valid_256',
]
