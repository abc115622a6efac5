# DRLN with BAM for Laplacian attention in all blocks (Wang, Hu and Hu, 2021), on 0..1.
model = dict(
    type='Restorer',
    backbone=dict(type='DRLN', channels=64, attention='bam', img_range=1.0),
    loss=dict(type='L1Loss'))
