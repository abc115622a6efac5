_base_ = [
    '../_base_/models/msrresnet.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_1000k_cosine.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='MSRResNet', tables=['mmediting'])
protocols = 'mmediting-rgb'
lq_patch_size = 32
