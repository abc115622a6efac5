# Scored with averaged weights.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
ema = 0.999
