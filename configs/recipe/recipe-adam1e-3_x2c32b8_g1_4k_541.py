# Adam 1e-3 after a warm-up, along a cosine: what the other rows change one thing of. Its length is
# 20 minutes of one thread.
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
val_sets = ['Set5']
test_sets = []
save_best = None
amp = 'bfloat16'
log_interval = 50
val_interval = checkpoint_interval = 250
max_iters = 4_200
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.01, end=200),
    *_base_.param_scheduler
]
