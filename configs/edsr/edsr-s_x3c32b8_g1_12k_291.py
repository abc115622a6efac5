# As edsr-s x2, for x3. Meant to start from it: --cfg-options load_from=.../best.pth
_base_ = './edsr-s_x2c32b8_g1_24k_291.py'
scale = 3
lq_patch_size = 40
max_iters = 12_000
