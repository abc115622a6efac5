# Muon for the convolutions, Adam for their biases.
_base_ = './recipe-adam1e-3_x2c32b8_g1_4k_541.py'
optim_wrapper = dict(optimizer=dict(_delete_=True, type='ConvMuon', lr=1e-3))
