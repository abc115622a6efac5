# VDSR (Kim et al., 2016) on luma: 20 convolutions that predict what bicubic enlargement misses.
# The loss is half the sum of squares over a patch of 41x41, which the learning rate goes with.
model = dict(
    type='Restorer',
    backbone=dict(
        type='VDSR', in_channels=1, out_channels=1, channels=64, num_layers=20),
    loss=dict(type='MSELoss', loss_weight=41 * 41 / 2))
