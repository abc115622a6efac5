# Batches of 32 instead of 16, half the iterations.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
global_batch_size = 32
max_iters = 2_150
