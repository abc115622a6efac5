# Published: started from the x2 model, load_from = the x2 work dir's best.pth.
_base_ = [
    '../_base_/models/edsr_full.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 4
published = dict(method='EDSR', tables=['edsr_paper', 'edsr_pytorch', 'basicsr'])
