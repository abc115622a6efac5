# 1e-4, halved after each 200 k iterations (RCAN's code: 1000 epochs of 1000 iterations).
_base_ = './adam_300k.py'
max_iters = 1_000_000
param_scheduler = [
    dict(type='StepLR', by_epoch=False, step_size=200_000, gamma=0.5)
]
