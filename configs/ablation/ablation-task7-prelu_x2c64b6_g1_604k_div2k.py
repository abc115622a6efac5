# Row 7: PReLU, by mistake one for all blocks, and larger patches.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_604k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='ablation task 7 prelu', tables=['ablation'])
lq_patch_size = 96
model = dict(backbone=dict(num_blocks=6, act='prelu', share_act=True))
