# SRResNet without batch norm as MMEditing has it: no activation behind the pixel shuffles.
model = dict(
    type='Restorer',
    backbone=dict(
        type='MSRResNet', channels=64, num_blocks=16, init='mmediting'),
    loss=dict(type='L1Loss'))
