# The first stage of Real-ESRGAN: RRDBNet on degraded pictures, by its pixel loss.
_base_ = [
    '../_base_/models/rrdbnet.py',
    '../_base_/datasets/div2k_realesrgan.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
max_iters = 1_000_000
global_batch_size = 48
optim_wrapper = dict(optimizer=dict(lr=2e-4, betas=(0.9, 0.99)))
param_scheduler = []
ema = 0.999
