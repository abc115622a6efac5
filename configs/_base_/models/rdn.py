# RDN (Zhang et al., 2018), model B: 16 dense blocks of 8 layers, on 0..1 as MMEditing has it.
model = dict(
    type='Restorer',
    backbone=dict(
        type='RDN', channels=64, num_blocks=16, num_layers=8, growth=64),
    loss=dict(type='L1Loss'))
