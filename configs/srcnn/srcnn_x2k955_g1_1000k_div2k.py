_base_ = [
    '../_base_/models/srcnn.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_1000k_cosine.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='SRCNN', tables=['edsr_paper'])
lq_patch_size = 32
model = dict(backbone=dict(kernel_sizes=(9, 5, 5)))
