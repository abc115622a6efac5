# DIV2K, packed into LMDBs by `superres data prepare div2k`. A set is a name below data_root or a
# path; '?' at its end means that it may be missing. LR patches of 48 are HR patches of 96, 144
# and 192 pixels at x2, x3 and x4.
data_root = 'data'
train_set = 'DIV2K_train'
val_sets = ['DIV2K_valid?']
test_sets = ['Set5?']
lq_patch_size = 48
num_workers = 4

train_pipeline = [
    dict(type='PairedRandomCrop'),
    dict(type='RandomFlip', direction='horizontal'),
    dict(type='RandomFlip', direction='vertical'),
    dict(type='RandomTranspose'),
    dict(type='PackInputs')
]
train_dataloader = dict(
    start_method=None,  # of the workers: 'fork', 'spawn', 'forkserver', None for the system's
    prefetch_factor=16,  # batches in advance per worker
    dataset=dict(type='PairedDataset'))
