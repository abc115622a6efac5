# Patches of 24, 48 and 64 pixels, in 20, 45 and 35 % of the time; the rate falls from the
# second size on.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
lq_patch_size = 64
max_iters = 5_740
train_pipeline = [
    dict(type='GrowingRandomCrop', before=[(24, 3_000), (48, 4_900)]),
    *_base_.train_pipeline[1:]
]
param_scheduler = [
    _base_.param_scheduler[0],
    dict(type='CosineAnnealingLR', by_epoch=False, begin=3_000, eta_min=1e-6)
]
