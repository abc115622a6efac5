_base_ = [
    '../_base_/models/edsr_full_superimage.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_250k_drop80.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='super-image edsr', tables=['super_image'])
lq_patch_size = 64
