# Adam 1e-4, as published: its rate stays.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
optim_wrapper = dict(optimizer=dict(lr=1e-4, betas=(0.9, 0.999)))
param_scheduler = []
