# super-image's network of that name: one scale per checkpoint, 32 blocks scaled by 0.1, 3x3
# kernels throughout, on 0..1, no mean subtracted.
model = dict(
    type='Restorer',
    backbone=dict(
        type='MDSR', channels=64, num_blocks=32, res_scale=0.1,
        pre_kernel_size=3, rgb_mean=None, img_range=1.0),
    loss=dict(type='L1Loss'))
