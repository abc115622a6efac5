# SRCNN (Dong et al., 2014): bicubic enlargement, then kernels of 9, 1 and 5; on RGB.
model = dict(
    type='Restorer',
    backbone=dict(type='SRCNN', channels=(64, 32), kernel_sizes=(9, 1, 5)),
    loss=dict(type='L1Loss'))
