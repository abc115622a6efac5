# EDSR-baseline (Lim et al., 2017): 16 blocks of 64 channels, no residual scaling.
model = dict(
    type='Restorer',
    backbone=dict(
        type='EDSR', channels=64, num_blocks=16, res_scale=1.0),
    loss=dict(type='L1Loss'))
