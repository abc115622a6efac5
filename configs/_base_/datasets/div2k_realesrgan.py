# Second-order degradations with the ranges of Real-ESRGAN (Wang et al., 2021): blur, size, noise
# and JPEG twice over, then a ringing filter before or behind the last JPEG. Kernels are Gaussians
# and sincs; the paper's generalised Gaussians and plateaus (3 in 10) are drawn as Gaussians. HR
# patches are 256 pixels at x4, degraded with what lies around them up to 400.
_base_ = './div2k_made.py'
lq_patch_size = 64
margin = 18
degradation = dict(
    dtype='float32',
    steps=[
        dict(
            type='OneOf',
            odds=[0.9, 0.1],
            choices=[
                dict(
                    type='RandomGaussianBlur',
                    sigma=[0.2, 3],
                    kernel_size=[7, 21],
                    anisotropic=0.31),
                dict(type='RandomSinc'),
            ]),
        dict(type='RandomRescale', factor=[0.15, 1.5], odds=[0.2, 0.7, 0.1]),
        dict(
            type='OneOf',
            choices=[
                dict(type='RandomGaussianNoise', level=[1, 30], grey=0.4),
                dict(type='RandomPoissonNoise', strength=[0.05, 3], grey=0.4),
            ]),
        dict(type='RandomJpeg', quality=[30, 95]),
        dict(
            type='OneOf',
            odds=[0.72, 0.08, 0.2],
            choices=[
                dict(
                    type='RandomGaussianBlur',
                    sigma=[0.2, 1.5],
                    kernel_size=[7, 21],
                    anisotropic=0.31),
                dict(type='RandomSinc'),
                [],
            ]),
        dict(type='RandomRescale', factor=[0.3, 1.2], odds=[0.3, 0.4, 0.3], of='lq'),
        dict(
            type='OneOf',
            choices=[
                dict(type='RandomGaussianNoise', level=[1, 25], grey=0.4),
                dict(type='RandomPoissonNoise', strength=[0.05, 2.5], grey=0.4),
            ]),
        dict(
            type='OneOf',
            choices=[
                [
                    dict(type='ResizeToLq', method=['box', 'bilinear', 'bicubic']),
                    dict(type='RandomSinc', prob=0.8),
                    dict(type='RandomJpeg', quality=[30, 95]),
                ],
                [
                    dict(type='RandomJpeg', quality=[30, 95]),
                    dict(type='ResizeToLq', method=['box', 'bilinear', 'bicubic']),
                    dict(type='RandomSinc', prob=0.8),
                ],
            ]),
    ])
