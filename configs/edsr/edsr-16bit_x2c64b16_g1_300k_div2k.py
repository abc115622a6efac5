# Pictures of 16 bits per channel, as they are; sets of 8-bit pictures work, too, but not mixed.
_base_ = [
    '../_base_/models/edsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_300k.py',
    '../_base_/default_runtime.py',
]
scale = 2
train_dataloader = dict(dataset=dict(dtype='keep'))
eval_dataset = dict(dtype='keep')
