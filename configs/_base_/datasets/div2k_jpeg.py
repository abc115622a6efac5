# Bicubic, then JPEG: what thumbnails on the web have been through.
_base_ = './div2k_made.py'
degradation = dict(
    steps=[dict(type='ResizeToLq'), dict(type='RandomJpeg', quality=[40, 95])])
