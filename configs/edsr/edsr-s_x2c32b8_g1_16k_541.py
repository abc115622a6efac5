# edsr-s from scratch by the quickest of the recipes (docs/recipe.md): Muon, patches of 24, 48 and 64
# pixels, and averaged weights.
_base_ = './edsr-s_x2c32b8_g1_24k_291.py'
custom_imports = dict(imports=['superres.recipes'])
custom_hooks = [dict(type='CpuSecondsHook')]
train_set = '541'
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
