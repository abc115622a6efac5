# VDSR's: SGD from 0.1, a tenth after each 20 of 80 epochs, batches of 64. An epoch counts as 1000
# iterations. Gradients are clipped by their norm, as twtygqyy's code does; the paper clips their
# values in proportion to the rate.
max_iters = 80_000
global_batch_size = 64
# The batch that the learning rate below was chosen for; enable=True scales it to another.
auto_scale_lr = dict(enable=False, base_batch_size=64)
val_interval = 1_000
checkpoint_interval = 1_000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.4))
param_scheduler = [
    dict(type='StepLR', by_epoch=False, step_size=20_000, gamma=0.1)
]
