# The 291 and 250 lossless photographs: 209 of CID22 (CC BY-SA 4.0) and 41 of CLIC 2025 (Unsplash
# licence), the latter halved by the exact bicubic.
_base_ = './photos_291.py'
train_set = '541'
