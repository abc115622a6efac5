# DRLN (Anwar and Barnes, 2019) on 0..255. The authors' code subtracts the mean of 0..1 from that,
# which is what their weights have learnt; rgb_mean is stated in [0, 1], hence the division.
model = dict(
    type='Restorer',
    backbone=dict(
        type='DRLN', channels=64, img_range=255.0,
        rgb_mean=[0.4488 / 255, 0.4371 / 255, 0.4040 / 255]),
    loss=dict(type='L1Loss'))
