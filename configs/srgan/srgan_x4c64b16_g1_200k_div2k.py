# SRGAN starts from SRResNet: load_from=work_dirs/srresnet_x4c64b16_g1_300k_div2k/best.pth
_base_ = [
    '../_base_/models/srgan.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
lq_patch_size = 24
max_iters = 200_000
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[100_000], gamma=0.1)
]
