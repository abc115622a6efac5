# MDSR-baseline (Lim et al., 2017): 16 shared blocks of 64 channels, a branch per scale.
model = dict(
    type='MultiScaleRestorer',
    backbone=dict(type='MDSR', channels=64, num_blocks=16),
    loss=dict(type='L1Loss'))
