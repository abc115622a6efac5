# edsr-s from scratch by the quickest of the recipes (docs/recipe.md): Muon, patches of 24, 48 and 64
# pixels, and averaged weights.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/photos_541.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
custom_imports = dict(imports=['superres.recipes'])
custom_hooks = [dict(type='CpuSecondsHook')]
scale = 2
model = dict(backbone=dict(channels=32, num_blocks=8))
lq_patch_size = 64
max_iters = 16_000
val_interval = 1_000
train_pipeline = [
    dict(type='GrowingRandomCrop', before=[(24, 6_000), (48, 12_500)]),
    *_base_.train_pipeline[1:]
]
optim_wrapper = dict(optimizer=dict(_delete_=True, type='ConvMuon', lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.01, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=6_000, eta_min=1e-6)
]
ema = dict(_delete_=True, decay=0.999, begin=1_000)
amp = 'bfloat16'
max_keep_checkpoints = 2
