# Published: started from the x2 model, load_from = the x2 work dir's best.pth.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
optim_wrapper = dict(optimizer=dict(betas=(0.9, 0.99)))
ema = 0.999
