# Bicubic input, 8 layers, a global residual connection.
_base_ = './ladder-after_x2c32b6_g1_4k_291.py'
model = dict(backbone=dict(upsample='before'))
