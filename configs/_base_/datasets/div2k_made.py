# LR made from HR as `degradation` says. While training, Degrade sees `margin` LR pixels around the
# patch, with other random numbers for every patch; validation and test sets are degraded as whole
# pictures, always with the same ones.
_base_ = './div2k.py'
margin = 4
degradation = dict(type='Degrade', steps=[dict(type='ResizeToLq')])
train_pipeline = [
    dict(type='PairedRandomCrop'),
    dict(type='Degrade'),
    *_base_.train_pipeline[1:]
]
train_dataloader = dict(dataset=dict(make_lq='none'))
