# Starts from the first stage: load_from=work_dirs/real-esrnet_x4c64b23_g4_1000k_div2k/best.pth
_base_ = './real-esrnet_x4c64b23_g4_1000k_div2k.py'
model = dict(
    type='GANRestorer',
    loss=dict(
        _delete_=True,
        pixel=dict(type='L1Loss'),
        perceptual=dict(
            type='PerceptualLoss',
            layer=dict(conv1_2=0.1, conv2_2=0.1, conv3_4=1, conv4_4=1, conv5_4=1),
            criterion='l1')),
    discriminator=dict(type='UNetDiscriminator'),
    adversarial=dict(type='VanillaGAN', loss_weight=0.1))
max_iters = 400_000
optim_wrapper = dict(optimizer=dict(lr=1e-4))
