# As edsr-photo x2, for x4 and fewer iterations. Starts from edsr-s with
# --cfg-options load_from=edsr-s_x4
_base_ = './edsr-photo_x2c32b8_g1_12k_541.py'
scale = 4
lq_patch_size = 36
global_batch_size = 24
max_iters = 5_000
val_interval = 500
