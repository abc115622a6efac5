# Row 11: perceptual loss alone. The weights are downloaded once; or give the path of the file.
_base_ = [
    '../_base_/models/srcnn_ablation.py',
    '../_base_/datasets/div2k.py',
    '../_base_/schedules/adam_302k.py',
    '../_base_/default_runtime.py',
]
scale = 2
published = dict(method='ablation task 11', tables=['ablation'])
model = dict(
    backbone=dict(num_blocks=7),
    loss=dict(_delete_=True, type='PerceptualLoss', layer='conv5_4', weights='torchvision'))
