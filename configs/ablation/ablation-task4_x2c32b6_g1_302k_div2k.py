# Row 4: upsampling at the end, and half the width of row 3.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_302k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='ablation task 4', tables=['ablation'])
model = dict(backbone=dict(num_blocks=6, channels=32))
