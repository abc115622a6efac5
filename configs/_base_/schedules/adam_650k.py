# The published MDSR schedule: as EDSR's, but 650 k iterations. Each has patches of one scale.
_base_ = './adam_300k.py'
max_iters = 650_000
