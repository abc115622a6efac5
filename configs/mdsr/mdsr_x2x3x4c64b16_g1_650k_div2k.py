_base_ = [
    '../_base_/models/mdsr_baseline.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_650k.py',
    '../_base_/default_runtime.py',
]
scale = [2, 3, 4]
published = dict(method='MDSR-baseline', tables=['edsr_pytorch'])
train_dataloader = dict(
    dataset=dict(
        _delete_=True, type='MultiScaleDataset', dataset=dict(type='PairedDataset')))
