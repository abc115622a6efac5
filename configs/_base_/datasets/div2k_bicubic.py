# LR is always made from HR by the exact bicubic, patch by patch, although it may be there: only HR
# need be packed.
_base_ = './div2k.py'
train_dataloader = dict(dataset=dict(make_lq='bicubic'))
