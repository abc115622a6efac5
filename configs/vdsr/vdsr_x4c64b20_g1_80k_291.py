# The paper trains one network on three scales; here is one for each.
_base_ = [
    '../_base_/models/vdsr.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/sgd_80e_291.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='VDSR', tables=['edsr_paper'])
train_set = '291'
lq_patch_size = 11  # 44 pixels of the enlarged picture; the paper's patches have 41
