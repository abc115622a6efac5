# SRGAN (Ledig et al., 2017): SRResNet against a discriminator; VGG54 features instead of pixels.
# The VGG's features are divided by 12.75 in the paper, hence 0.006.
_base_ = './srresnet.py'
model = dict(
    type='GANRestorer',
    loss=dict(_delete_=True, type='PerceptualLoss', layer='conv5_4', loss_weight=0.006),
    discriminator=dict(type='SRGANDiscriminator', patch=96),
    adversarial=dict(type='VanillaGAN', loss_weight=1e-3))
