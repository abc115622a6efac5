# What a photograph has been through before somebody enlarges it: resized by a browser or a phone,
# saved as JPEG, now and then soft or noisy; one in four is clean, by the exact bicubic.
_base_ = './div2k_made.py'
train_set = '541'
val_sets = ['DIV2K_valid_256']
test_sets = ['Set5?', 'Set14?']
protocols = dict(DIV2K_valid_256='edsr-y')
num_workers = 1
margin = 8
degradation = dict(
    steps=[
        dict(
            type='OneOf',
            odds=[0.25, 0.75],
            choices=[
                dict(type='ResizeToLq'),
                [
                    dict(type='RandomGaussianBlur', sigma=[0.3, 1], kernel_size=7, prob=0.15),
                    dict(
                        type='ResizeToLq',
                        method=['bicubic', 'bicubic', 'box', 'bilinear', 'lanczos3']),
                    dict(type='RandomGaussianNoise', level=[0.5, 4], grey=0.5, prob=0.2),
                    dict(
                        type='RandomPhotoJpeg', quality=[40, 95], full_chroma=0.3, prob=0.95),
                ],
            ])
    ])
