# DN: bicubic, then Gaussian noise of level 30. Papers have it at x3 only.
_base_ = './div2k_made.py'
degradation = dict(
    steps=[
        dict(type='ResizeToLq'),
        dict(type='RandomGaussianNoise', level=30)
    ])
