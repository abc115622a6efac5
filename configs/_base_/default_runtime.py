default_scope = 'superres'

seed = 0  # None draws one, logs it and saves it in the checkpoints
log_interval = 100
max_keep_checkpoints = 5
save_best = 'auto'  # 'SET/psnr' or 'SET/ssim'; 'auto' is the first validation set's PSNR
tensorboard = True  # curves in WORK_DIR/tensorboard where the package is installed
ema = None  # e.g. 0.999: validate and test with averaged weights
amp = False  # bfloat16 (float16 on older GPUs) where it is safe; --amp does the same
load_from = None  # weights to start from
custom_hooks = []
