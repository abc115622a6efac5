# Row 1 of the study on the classical 291 photographs, with a schedule for little time.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/photos_291.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
scale = 2
model = dict(backbone=dict(num_blocks=1, upsample='before', global_skip=False))
max_iters = 10_000
amp = 'bfloat16'
max_keep_checkpoints = 2
