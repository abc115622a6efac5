# As adam_1000k_halving, for the 3000 epochs that stand in DRLN's options. How long the released
# weights were trained is not known; at 2000 k the rate is 1e-7 and the rest changes little.
_base_ = './adam_1000k_halving.py'
max_iters = 3_000_000
