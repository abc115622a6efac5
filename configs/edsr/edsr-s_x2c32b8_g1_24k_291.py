# The compact EDSR whose weights come with the package. x3 and x4 start from this one.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/photos_291.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
scale = 2
model = dict(backbone=dict(channels=32, num_blocks=8))
ema = dict(_delete_=True, decay=0.999, begin=1_000)
amp = 'bfloat16'
max_keep_checkpoints = 2
