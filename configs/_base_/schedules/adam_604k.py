# authierj's 300 epochs, each a pass over 32,208 sub-images in batches of 16: 1e-4, halved after
# 200 epochs.
_base_ = './adam_300k.py'
max_iters = 603_900
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[402_600], gamma=0.5)
]
