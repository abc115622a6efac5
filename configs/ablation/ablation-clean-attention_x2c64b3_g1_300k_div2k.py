# A fair row: 64 wide, 8 layers, three residual blocks with channel attention (RCAN).
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 2
model = dict(backbone=dict(num_blocks=3, block='residual', attention='channel'))
