# Row 10: channel attention. Not the 8 layers of the other rows but a whole RCAN.
_base_ = [
    '../_base_/models/rcan.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_604k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='ablation task 10', tables=['ablation'])
lq_patch_size = 96
model = dict(backbone=dict(num_blocks=4))
