# EDSR-baseline with BAM on the output of its body, before the global skip.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
model = dict(backbone=dict(attention='bam'))
