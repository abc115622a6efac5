# EDSR (Lim et al., 2017): 32 blocks of 256 channels, whose branches are scaled by 0.1.
model = dict(
    type='Restorer',
    backbone=dict(
        type='EDSR', channels=256, num_blocks=32, res_scale=0.1),
    loss=dict(type='L1Loss'))
