# BasicSR has an activation behind each pixel shuffle, other betas and averaged weights.
_base_ = [
    '../_base_/models/msrresnet.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_1000k_cosine.py',
    '../_base_/default_runtime.py',
]
scale = 3
lq_patch_size = 42
model = dict(backbone=dict(upsample_act=True))
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.99)))
ema = 0.999
