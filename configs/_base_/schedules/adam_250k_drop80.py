# super-image's: 1000 epochs of 250 iterations, 1e-4, a tenth of it after 80 % of them. The StepLR
# that stands in its code, too, is overwritten in every epoch and has no effect.
_base_ = './adam_300k.py'
max_iters = 250_000
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[200_000], gamma=0.1)
]
