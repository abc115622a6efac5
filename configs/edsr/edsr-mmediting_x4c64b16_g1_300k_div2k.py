_base_ = [
    '../_base_/models/edsr_mmediting.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='EDSR-baseline', tables=['mmediting'])
protocols = 'mmediting-rgb'
lq_patch_size = 49  # MMEditing's x4 config has HR patches of 196, not 192
