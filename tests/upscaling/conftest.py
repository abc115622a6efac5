"""Small networks and images of every kind."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest
import torch
from PIL import Image

from superres.checkpoints import save_safetensors
from superres.models.backbones.edsr import EDSR


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""


def scene(height: int = 40, width: int = 56, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8: waves, and blocks with hard edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [90 + 60 * np.sin(x / (5 + c) + y / (7 - c)) for c in range(3)]
    blocks = rng.uniform(0, 90, (-(-height // 8), -(-width // 8), 3)).repeat(8, 0).repeat(8, 1)
    return np.clip(np.stack(waves, -1) + blocks[:height, :width], 0, 255).astype(np.uint8)


def bicubic_like(scale: int) -> EDSR:
    """An EDSR whose output resembles its input, so that results can be judged."""
    torch.manual_seed(scale)
    network = EDSR(channels=12, num_blocks=1, scale=scale)
    with torch.no_grad():
        for p in network.parameters():
            p.mul_(0.3)
        # Three of the channels carry the image through: as an upscaling by repetition.
        network.conv_first.weight[:3] = 0
        network.conv_first.bias[:3] = 0
        for c in range(3):
            network.conv_first.weight[c, c, 1, 1] = 1
        network.conv_after_body.weight[:3] = 0
        network.conv_after_body.bias[:3] = 0
        for conv in network.upsample.modules():
            if isinstance(conv, torch.nn.Conv2d):
                factor = conv.out_channels // conv.in_channels
                conv.weight[: 3 * factor] = 0
                conv.bias[: 3 * factor] = 0
                for c in range(3):
                    conv.weight[c * factor : (c + 1) * factor, c, 1, 1] = 1
        network.conv_last.weight[:, :3] = 0
        for c in range(3):
            network.conv_last.weight[c, c, 1, 1] = 1
    return network.eval()


@pytest.fixture
def network():
    return bicubic_like


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Files of networks at x2 and x4: ``weights(2)``."""
    root = tmp_path_factory.mktemp("weights")

    def file(scale: int) -> str:
        path = root / f"tiny_x{scale}.safetensors"
        if not path.exists():
            config = {"type": "EDSR", "channels": 12, "num_blocks": 1, "scale": scale}
            save_safetensors(path, bicubic_like(scale), config)
        return str(path)

    return file


@functools.cache  # a profile holds the time it was made
def icc() -> bytes:
    from PIL import ImageCms

    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif(orientation: int = 6) -> bytes:
    block = Image.Exif()
    block[274], block[271] = orientation, "Maker"
    details = block.get_ifd(0x8769)
    details[0xA002], details[0xA003] = 56, 40
    return block.tobytes()


def cut_out(picture: np.ndarray) -> np.ndarray:
    """(H, W, 4): a disc of the image; black under the transparent rest, as programs leave it."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    away = np.hypot(y - picture.shape[0] / 2, x - picture.shape[1] / 2)
    alpha = np.clip((picture.shape[0] / 2 - 4 - away) * 128 + 128, 0, 255).astype(np.uint8)
    colour = np.where(alpha[..., None] > 0, picture, 0)
    return np.dstack([colour, alpha]).astype(np.uint8)


@pytest.fixture
def zoo(tmp_path):
    """A folder with an image of each kind, and some that are none."""
    import cv2

    root = tmp_path / "zoo"
    (root / "sub").mkdir(parents=True)
    rgb = Image.fromarray(scene())
    rgb.save(root / "photo.jpg", quality=95, exif=exif(), icc_profile=icc())
    rgb.save(root / "plain.png", icc_profile=icc())
    rgb.save(root / "turned.webp", exif=exif(8))
    rgb.save(root / "turned.tif", tiffinfo={274: 6}, compression="tiff_lzw")
    rgb.convert("L").save(root / "grey.png")
    rgb.convert("LA").save(root / "grey_alpha.png")
    rgb.convert("1").save(root / "bilevel.png")
    cut = Image.fromarray(cut_out(scene()))
    cut.save(root / "alpha.png")
    cut.save(root / "alpha.webp", lossless=True)
    cut.save(root / "sub" / "alpha.tif")
    cut.quantize(32).save(root / "palette.png")
    deep = (scene().astype(np.uint16) * 257 + 91)[..., ::-1]
    cv2.imwrite(str(root / "sub" / "deep.png"), deep)
    cv2.imwrite(str(root / "sub" / "deep.tif"), deep)
    rgb.convert("CMYK").save(root / "cmyk.jpg")
    frames = [rgb, rgb.rotate(90), rgb.rotate(180)]
    for name in ("moving.gif", "moving_webp.webp", "moving_apng.png"):
        frames[0].save(root / name, save_all=True, append_images=frames[1:])
    Image.new("RGB", (1, 1), (9, 99, 199)).save(root / "one.png")
    rgb.save(root / "old.bmp")
    whole = (root / "photo.jpg").read_bytes()
    (root / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "text.png").write_text("not an image")
    with open(os.path.join(os.fsencode(root), b"new\nline\xff.png"), "wb") as file:
        file.write((root / "plain.png").read_bytes())
    return root
