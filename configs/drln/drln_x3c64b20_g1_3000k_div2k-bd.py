_base_ = [
    '../_base_/models/drln.py',
    '../_base_/datasets/div2k_bd.py',
    '../_base_/schedules/adam_3000k_halving.py',
    '../_base_/default_runtime.py',
]
scale = 3
published = dict(method='DRLN', tables=['drln_paper'], degradation='blur-down')
