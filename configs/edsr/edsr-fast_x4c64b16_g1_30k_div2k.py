# As edsr-fast x2, for x4. Meant to start from it: --cfg-options load_from=.../best.pth
_base_ = './edsr-fast_x2c64b16_g1_60k_div2k.py'
scale = 4
max_iters = 30_000
