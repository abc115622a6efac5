# edsr-s for photographs as they are: JPEG, other resizing than MATLAB's, slight blur and noise.
# Starts from edsr-s with --cfg-options load_from=edsr-s_x2
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/photos_541_photo.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
custom_imports = dict(imports=['superres.recipes'])
custom_hooks = [dict(type='CpuSecondsHook')]
scale = 2
model = dict(backbone=dict(channels=32, num_blocks=8))
max_iters = 12_000
val_interval = 1_000
ema = dict(_delete_=True, decay=0.999, begin=500)
amp = 'bfloat16'
max_keep_checkpoints = 2
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.01, end=200),
    *_base_.param_scheduler
]
