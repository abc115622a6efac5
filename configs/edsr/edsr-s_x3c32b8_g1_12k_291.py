# As edsr-s x2, for x3. Starts from it with --cfg-options load_from=edsr-s_x2
_base_ = './edsr-s_x2c32b8_g1_24k_291.py'
scale = 3
lq_patch_size = 40
max_iters = 12_000
