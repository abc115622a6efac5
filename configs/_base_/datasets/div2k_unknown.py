# The official 'unknown' track: its LR pictures, read as those of the bicubic track are. The
# benchmark sets have no such version, so DIV2K's own validation pictures are all there is.
_base_ = './div2k.py'
train_set = 'DIV2K_train/LR_unknown'
val_sets = ['DIV2K_valid/LR_unknown?']
test_sets = []
