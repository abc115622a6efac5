_base_ = [
    '../_base_/models/mdsr_superimage.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_250k_drop80.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='super-image mdsr-bam', tables=['super_image'])
lq_patch_size = 64
model = dict(backbone=dict(attention='bam', attention_in_pre=True))
