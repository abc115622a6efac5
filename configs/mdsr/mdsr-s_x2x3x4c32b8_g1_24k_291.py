# A small MDSR on the 291 photographs, to stand beside the three single networks edsr-s: each
# iteration trains one scale, so 24 k of them are 8 k a scale.
_base_ = [
    '../_base_/models/mdsr_baseline.py',
    '../_base_/datasets/photos_291.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
scale = [2, 3, 4]
model = dict(backbone=dict(channels=32, num_blocks=8))
max_iters = 24_000
lq_patch_size = 36
val_interval = 2_000
ema = dict(_delete_=True, decay=0.999, begin=1_000)
amp = 'bfloat16'
max_keep_checkpoints = 2
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='MultiScaleDataset', dataset=dict(type='PairedDataset')))
