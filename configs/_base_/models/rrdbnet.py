# RRDBNet of ESRGAN (Wang et al., 2018), trained by its pixel loss: the first of its two stages.
model = dict(
    type='Restorer',
    backbone=dict(type='RRDBNet', channels=64, num_blocks=23, growth=32),
    loss=dict(type='L1Loss'))
