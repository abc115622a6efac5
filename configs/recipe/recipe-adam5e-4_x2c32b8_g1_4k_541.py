# Adam 5e-4 instead of 1e-3.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
optim_wrapper = dict(optimizer=dict(lr=5e-4))
