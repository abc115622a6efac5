# The network that the steps of authierj's ablation study configure; on 0..255, no mean subtracted.
model = dict(
    type='Restorer',
    backbone=dict(type='SRCNNAblation', channels=64, num_blocks=6),
    loss=dict(type='L1Loss'))
