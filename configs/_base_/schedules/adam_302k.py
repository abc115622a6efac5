# authierj's 300 epochs, each a pass over 16,108 sub-images in batches of 16: 1e-4, halved after
# 200 epochs.
_base_ = './adam_300k.py'
max_iters = 301_800
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[201_200], gamma=0.5)
]
