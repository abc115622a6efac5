_base_ = [
    '../_base_/models/drln_bam.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_250k_drop80.py',
    '../_base_/default_runtime.py',
]
scale = 8
lq_patch_size = 64
