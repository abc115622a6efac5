# RCAN (Zhang et al., 2018): 10 groups of 20 blocks with channel attention.
model = dict(
    type='Restorer',
    backbone=dict(type='RCAN', channels=64, num_groups=10, num_blocks=20),
    loss=dict(type='L1Loss'))
