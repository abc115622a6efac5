# The published EDSR schedule: Adam, 1e-4, halved after 200 k of 300 k iterations of 16 patches.
max_iters = 300_000
global_batch_size = 16  # over all processes together
# The batch that the learning rate below was chosen for; enable=True scales it to another.
auto_scale_lr = dict(enable=False, base_batch_size=16)
val_interval = 5_000
checkpoint_interval = 5_000

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='Adam', lr=1e-4, betas=(0.9, 0.999), eps=1e-8))
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=False, milestones=[200_000], gamma=0.5)
]
