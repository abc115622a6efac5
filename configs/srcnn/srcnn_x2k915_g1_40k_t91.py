# The 9-1-5 network on the 91 pictures of the paper, with its squared error; on RGB, with Adam.
_base_ = [
    '../_base_/models/srcnn.py',
    '../_base_/datasets/photos_291.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/adam_cosine_compact.py',
]
scale = 2
train_set = 'T91'
lq_patch_size = 24
max_iters = 40_000
val_interval = 5_000
max_keep_checkpoints = 2
model = dict(loss=dict(_delete_=True, type='MSELoss'))
