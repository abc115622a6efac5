default_scope = 'superres'

seed = 0  # None draws one, logs it and saves it in the checkpoints
log_interval = 100
max_keep_checkpoints = 5
save_best = 'auto'  # 'SET/psnr' or 'SET/ssim'; 'auto' is the first validation set's PSNR
tensorboard = True  # curves in WORK_DIR/tensorboard where the package is installed
ema = None  # e.g. 0.999: validate and test with averaged weights
amp = False  # bfloat16 (float16 on older GPUs) where it is safe; --amp does the same
speed = 'auto'  # 'max', 'off', or parts: dict(channels_last=True, compile=True, tf32=False, ...)
deterministic = False  # True: equal bits in equal runs, also on a GPU; --deterministic does the same
accumulate = 1  # parts that a batch is cut into, for less memory and the same update
recompute = []  # blocks that compute twice instead of keeping results, e.g. ['body.*']
load_from = None  # weights to start from
custom_hooks = []
