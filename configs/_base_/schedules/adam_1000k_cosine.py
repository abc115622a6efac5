# MMEditing's and BasicSR's for MSRResNet and SRCNN: 2e-4 falls to 1e-7 along a cosine, four times.
_base_ = './adam_300k.py'
max_iters = 1_000_000
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(
        type='CosineRestartLR', by_epoch=False, periods=[250_000] * 4,
        restart_weights=[1] * 4, eta_min=1e-7)
]
