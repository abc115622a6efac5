# Muon, and patches that grow.
_base_ = './recipe-growing_x2c32b8_g1_5k_541.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='ConvMuon', lr=1e-3))
