# Row 1: bicubic input, 3 convolutions.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_604k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='ablation task 1', tables=['ablation'])
model = dict(backbone=dict(num_blocks=1, upsample='before', global_skip=False))
