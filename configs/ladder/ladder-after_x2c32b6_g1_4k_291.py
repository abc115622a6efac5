# The rung that the others differ from in one thing: 32 wide, 8 layers, upsampling at the end.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/photos_291.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
scale = 2
model = dict(backbone=dict(channels=32))
max_iters = 4_000
val_interval = 500
amp = 'bfloat16'
max_keep_checkpoints = 2
