# BD: Gaussian blur of 7x7 and sigma 1.6, then every third pixel. Papers have it at x3 only.
_base_ = './div2k_made.py'
degradation = dict(steps=[dict(type='BlurDown', kernel_size=7, sigma=1.6)])
