_base_ = [
    '../_base_/models/edsr_full.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 8
published = dict(method='EDSR', tables=['drln_paper'])
