"""Which weights a name, a folder and a scale mean; comparisons from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import superres
from superres.checkpoints import save_safetensors, zoo
from superres.errors import UserError
from superres.models.backbones.mdsr import MDSR
from superres.upscaling.networks import Options, choose_network
from superres.upscaling.targets import list_jobs

from .conftest import scene


@pytest.fixture
def folder(tmp_path, weights):
    """``tiny_x2`` and ``tiny_x4``, as files that come with the package lie."""
    root = tmp_path / "files"
    root.mkdir()
    for scale in (2, 4):
        (root / f"tiny_x{scale}.safetensors").write_bytes(Path(weights(scale)).read_bytes())
    return root


@pytest.mark.parametrize(
    ("scale", "native", "result"),
    [(None, 4, 4), (1, 2, 1), (2, 2, 2), (2.5, 4, 2.5), (4, 4, 4), (7, 4, 7)],
)
def test_the_nearest_scale_that_is_not_smaller(scale, native, result, folder, monkeypatch):
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    for name in ("tiny", str(folder)):
        chosen = choose_network(Options(name, scale, "cpu"))
        assert (chosen.module.scale, chosen.scale) == (native, result)
        assert bool(chosen.notes) == (native != result)


def test_a_network_of_several_scales(tmp_path):
    config = {"type": "MDSR", "channels": 8, "num_blocks": 1, "scales": [2, 3, 4]}
    save_safetensors(tmp_path / "m.safetensors", MDSR(channels=8, num_blocks=1), config)
    for scale, native in ((None, 4), (1.5, 2), (2.2, 3), (9, 4)):
        assert (
            choose_network(Options(tmp_path / "m.safetensors", scale, "cpu")).module.scale == native
        )


def test_a_link_beside_its_image_has_a_result_of_its_own(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "b.png")
    (tmp_path / "a.png").symlink_to("b.png")
    jobs = list_jobs([str(tmp_path), str(tmp_path / "b.png")], None, 2).jobs
    assert [job.target.name for job in jobs] == ["a.png", "b.png"]


def test_load_model_by_name(folder, monkeypatch):
    monkeypatch.setattr(zoo, "WEIGHTS", folder)
    assert superres.load_model("tiny", scale=4, device="cpu").scale == 4
    assert superres.load_model("tiny_x2", device="cpu").scale == 2
    assert superres.load_model("tiny", device="cpu").scale == 4  # as on the command line
    with pytest.raises(UserError, match="x2, x4; not in x3"):
        superres.load_model("tiny", scale=3)
    with pytest.raises(UserError, match=r"did you mean tiny"):
        superres.load_model("tyny")


def test_comparisons_of_any_kind(tmp_path, network):
    model, picture = network(2), scene()
    kinds = [
        picture,
        Image.fromarray(picture),
        torch.from_numpy(picture).permute(2, 0, 1).float() / 255,
        picture[..., 0],
        np.dstack([picture, picture[..., 0]]),
    ]
    for index, kind in enumerate(kinds):
        path = tmp_path / f"{index}.png"
        superres.save_comparison(kind, model.upscale(kind, backend="torch"), path)
        assert Image.open(path).width > 300
    same = [np.array(Image.open(tmp_path / f"{i}.png")).astype(int) for i in range(3)]
    assert np.abs(same[0] - same[1]).max() == 0
    assert np.abs(same[0] - same[2]).mean() < 0.1
    sr = model.upscale(picture, backend="torch")
    superres.save_comparison(picture, sr, tmp_path / "page.html", gt=sr)
    assert (tmp_path / "page.html").read_text().count("<img") == 3
    for name in ("x.png", "x.html"):
        for arguments, options, fault in (
            ((picture, picture[:20]), {}, "multiple of its input"),
            ((picture, np.resize(sr, (90, 50, 3))), {}, "multiple of its input"),
            ((picture, sr), {"gt": picture}, "gt must be as large"),
            ((picture.astype(float), sr), {}, "divide by 255"),
            ((np.zeros((2, 2, 7)), sr), {}, "is not an image"),
        ):
            with pytest.raises(UserError, match=fault):
                superres.save_comparison(*arguments, tmp_path / name, **options)
        assert not (tmp_path / name).exists()
