# The 291 photographs that VDSR and many after it were trained on: T91 (Yang et al., 2010) and the
# 200 training pictures of the Berkeley segmentation set. Validation is on one 256 x 256 crop of
# each of DIV2K's 100 validation pictures. Low-quality pictures are made by the exact bicubic.
_base_ = './div2k.py'
train_set = '291'
val_sets = ['DIV2K_valid_256']
test_sets = ['Set5?', 'Set14?']
protocols = dict(DIV2K_valid_256='edsr-y')
num_workers = 1
