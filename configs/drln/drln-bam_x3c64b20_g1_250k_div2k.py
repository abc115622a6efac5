_base_ = [
    '../_base_/models/drln_bam.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_250k_drop80.py',
    '../_base_/default_runtime.py',
]
scale = 3
published = dict(method='super-image drln-bam', tables=['super_image'])
lq_patch_size = 64
