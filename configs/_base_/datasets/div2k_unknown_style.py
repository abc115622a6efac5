# In the style of the 'unknown' track, whose own recipe is secret: another blur in every direction,
# the bicubic, noise. Each range is drawn from anew for every patch.
_base_ = './div2k_made.py'
margin = 8
degradation = dict(
    dtype='float32',
    steps=[
        dict(type='RandomGaussianBlur', sigma=[0.2, 4.0], kernel_size=21),  # HR pixels
        dict(type='ResizeToLq'),
        dict(type='RandomGaussianNoise', level=[0, 25])  # of 255
    ])
