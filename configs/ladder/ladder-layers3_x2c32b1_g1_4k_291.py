# Bicubic input, 3 layers.
_base_ = './ladder-after_x2c32b6_g1_4k_291.py'
model = dict(backbone=dict(upsample='before', num_blocks=1, global_skip=False))
