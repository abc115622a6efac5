"""mmengine's Visualizer and its back ends; TensorBoard's files are read in test_training."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from mmengine.visualization import BaseVisBackend

from superres.registry import VISBACKENDS

SEEN: list = []


@VISBACKENDS.register_module()
class OwnVisBackend(BaseVisBackend):
    """Of a user's own; fails where its ``word`` says so."""

    def __init__(self, save_dir: str, word: str = "") -> None:
        super().__init__(save_dir)
        self.word = word

    def _init_env(self) -> None: ...

    experiment = None

    def add_config(self, config, **_):
        if self.word == "early":
            raise OSError("no server")
        SEEN.append(config.scale)

    def add_scalars(self, scalar_dict, step=0, file_path=None, **_):
        if self.word == "late":
            raise OSError("no server")
        SEEN.append((step, scalar_dict))

    def add_image(self, name, image, step=0, **_):
        SEEN.append((name, np.asarray(image).shape))

    def close(self):
        SEEN.append("closed")


@pytest.fixture
def own(train):
    SEEN.clear()
    return lambda words, *more: train(f"vis_backends=[dict({words})]", "max_iters=4", *more)


def test_a_back_end_of_ones_own(own, capsys):
    assert own("type=OwnVisBackend", "val_interval=4") == 0
    assert "OwnVisBackend: used through mmengine, not tested by superres" in capsys.readouterr().out
    config, *shown, last = SEEN
    assert (config, last) == (2, "closed")
    steps = {key: step for step, found in shown if isinstance(found, dict) for key in found}
    assert steps["train/loss"] == steps["val/valid/psnr"] == 4
    pictures = {name for name, found in shown if isinstance(found, tuple) and found[2] == 3}
    assert pictures == {f"val/{name}" for name in ("valid/p10", "valid/p11", "testset/p20",
                                                   "testset/p21")}  # fmt: skip


def test_one_that_fails_later_ends_no_training(own, capsys):
    assert own("type=OwnVisBackend,word=late", "log_interval=1") == 0
    assert capsys.readouterr().out.count("visualizer: no server; it is left out") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("type=OwnVisBackend,word=early", "config: visualizer: no server"),
        ("type=WandbVisBackend", "pip install wandb"),
        ("type=TensorBordVisBackend", "TensorboardVisBackend or WandbVisBackend or OwnVisBackend?"),
        ("type=OwnVisBackend,wrd=early", "did you mean word"),
    ],
)
def test_one_that_cannot_start_is_a_mistake(own, words, said, capsys, tmp_path):
    if "Wandb" in words and importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    assert own(words) == 2
    assert said in capsys.readouterr().err
    assert not list((tmp_path / "work").glob("*.pth"))


def test_a_check_reaches_no_server(own, options, tmp_path):
    from superres.cli.main import main

    from .conftest import CONFIG

    words = ["--cfg-options", *options, "vis_backends=[dict(type=OwnVisBackend)]"]
    assert main(["train", CONFIG, "--check", "--work-dir", str(tmp_path / "w"), *words]) == 0
    assert not SEEN
