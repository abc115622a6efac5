# SRVGGNetCompact of Real-ESRGAN (Wang et al., 2021): realesr-animevideov3; 32 for general-x4v3.
model = dict(
    type='Restorer',
    backbone=dict(type='SRVGGNetCompact', channels=64, num_convs=16),
    loss=dict(type='L1Loss'))
