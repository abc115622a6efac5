# Squared error (L2) instead of the absolute one (L1).
_base_ = './ladder-after_x2c32b6_g1_4k_291.py'
model = dict(loss=dict(_delete_=True, type='MSELoss'))
