# SRResNet (Ledig et al., 2017) trained by mean squared error: EDSR's ancestor.
model = dict(
    type='Restorer',
    backbone=dict(type='SRResNet', channels=64, num_blocks=16),
    loss=dict(type='MSELoss'))
