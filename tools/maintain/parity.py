"""Whether a training goes here, step by step, as in the toolbox that its config comes from.

    python tools/maintain/parity.py basicsr|mmagic|edsr-pytorch CHECKOUT CONFIG > FILE.json

CHECKOUT holds the toolbox's public code, CONFIG is one of its own (for EDSR-PyTorch an option
line). Its classes make the network, the loss, the optimiser and one update after the other from
that; superres makes its own from the same config, starts from their weights, and gets the same
batches. All in float64, since Adam makes whole steps of the rounding of gradients that are almost
zero. Packages that theirs import beside and that no update needs are replaced by empty ones.

Exit code 1 where a loss or a weight differs by more than 1e-4: losses relatively, weights as a part
of the largest one of their tensor.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import importlib.abc
import importlib.machinery
import json
import re
import shlex
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import torch
import yaml
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from superres.checkpoints.loading import read_weights
from superres.cli.main import exit_code
from superres.cli.quickstart import PHOTOGRAPHS
from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
from superres.engine.train.optim import optim_config, schedulers
from superres.engine.train.speed import Fast
from superres.engine.train.step import TrainStep
from superres.imaging.io import read_image
from superres.imaging.photographs import photograph
from superres.imaging.resize import imresize
from superres.interop.configs import recipe_of_line
from superres.options import whole
from superres.registry import MODELS

TOLERANCE = 1e-4
# uint8 (N, 3, h, w) and (N, 3, h*scale, w*scale).
Batch = tuple[Tensor, Tensor]
# A network, and what trains it: batches to losses.
Peer = tuple[torch.nn.Module, Callable[[list[Batch]], list[float]]]


UNUSED = ("torchvision", "imageio", "mmcv.ops", "basicsr.ops", "basicsr.metrics")


class Empty(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules of ``UNUSED`` packages, there or not: anything can be taken from them."""

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        wanted = name.startswith(UNUSED)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> MagicMock:
        return MagicMock(__path__=[])

    def exec_module(self, module: MagicMock) -> None: ...


def bare(checkout: Path, *names: str) -> types.ModuleType:
    """Packages whose ``__init__``, which imports everything, is left out; the last of them.

    What is asked of them is looked for in their modules.
    """

    def part(package: str, name: str) -> Any:
        with contextlib.suppress(ImportError):
            return importlib.import_module(f"{package}.{name}")
        for file in sorted((checkout / package.replace(".", "/")).glob("[!_]*.py")):
            if re.search(rf"^(class|def) {name}\b", file.read_text(encoding="utf-8"), re.M):
                return getattr(importlib.import_module(f"{package}.{file.stem}"), name)
        return MagicMock()

    for name in names:
        module = sys.modules[name] = types.ModuleType(name)
        module.__path__ = [str(checkout / name.replace(".", "/"))]
        module.__getattr__ = functools.partial(part, name)
    return module


def basicsr(checkout: Path, config: str) -> Peer:
    """Their SRModel."""
    archs = bare(checkout, "basicsr", "basicsr.models", "basicsr.archs")
    options = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    given = dict(options["network_g"])
    network = getattr(archs, given.pop("type"))
    archs.build_network = lambda _: network(**given)
    kind = importlib.import_module("basicsr.models.sr_model").SRModel
    model = kind({**options, "num_gpu": 0, "is_train": True, "dist": False, "rank": 0})
    for each in (model.net_g, getattr(model, "net_g_ema", model.net_g)):
        each.double()

    def train(batches: list[Batch]) -> list[float]:
        losses = []
        for number, (lq, gt) in enumerate(batches, 1):
            model.update_learning_rate(number, options["train"].get("warmup_iter", -1))
            model.feed_data({"lq": lq.double() / 255.0, "gt": gt.double() / 255.0})
            model.optimize_parameters(number)
            losses.append(float(sum(model.get_current_log().values())))
        return losses

    return model.net_g, train


def mmagic(checkout: Path, config: str) -> Peer:
    """Their BaseEditModel, by mmengine's own train_step."""
    rooms = ("archs", "base_models", "losses", "editors", "editors.edsr", "data_preprocessors")
    below = (f"mmagic.models.{room}" for room in (*rooms, "utils"))
    bare(checkout, "mmagic", "mmagic.utils", "mmagic.models", *below)
    theirs = Config.fromfile(config)
    parts = ("base_models.base_edit_model", "losses.pixelwise_loss", "editors.edsr.edsr_net")
    for name in (*parts, "data_preprocessors.data_preprocessor"):
        importlib.import_module(f"mmagic.models.{name}")
    from mmagic.registry import MODELS as KNOWN
    from mmagic.structures import DataSample

    given = theirs.get("param_scheduler") or []
    given = given if isinstance(given, list) else [given]
    with DefaultScope.overwrite_default_scope("mmagic"):
        model = KNOWN.build(theirs.model).double()
    with DefaultScope.overwrite_default_scope("mmengine"):
        theirs.optim_wrapper.pop("constructor", None)  # for several optimisers; here is one
        wrapper = build_optim_wrapper(model, theirs.optim_wrapper)
        steps = [PARAM_SCHEDULERS.build(one, default_args={"optimizer": wrapper}) for one in given]

    def train(batches: list[Batch]) -> list[float]:
        losses = []
        for lq, gt in batches:
            samples = [DataSample(gt_img=image) for image in gt]
            data = {"inputs": list(lq), "data_samples": samples}
            losses.append(float(model.train_step(data, wrapper)["loss"]))
            for step in steps:
                step.step()
        return losses

    return model.generator, train


def edsr_pytorch(checkout: Path, line: str) -> Peer:
    """Their Trainer, one epoch of it."""
    sys.path.insert(0, str(checkout / "src"))
    sys.argv = ["main.py", *shlex.split(line), "--cpu"]
    args = importlib.import_module("option").args
    seen: list[float] = []
    folder = tempfile.gettempdir()
    keep = types.SimpleNamespace(write_log=lambda *_: None, get_path=lambda *_: folder,
                                 log_file=sys.stderr, dir=folder)  # fmt: skip
    model = importlib.import_module("model").Model(args, keep)
    model.double()
    loss = importlib.import_module("loss").Loss(args, keep)
    loss.register_forward_hook(lambda _, __, value: seen.append(value.item()))

    class Loader(list):
        dataset = types.SimpleNamespace(set_scale=lambda _: None, __len__=lambda: 0)

    def train(batches: list[Batch]) -> list[float]:
        loader = Loader((lq.double(), gt.double(), "") for lq, gt in batches)
        loaders = types.SimpleNamespace(loader_train=loader, loader_test=[])
        args.print_every = len(batches) + 1
        trainer = importlib.import_module("trainer").Trainer(args, loaders, model, loss, keep)
        trainer.train()
        return seen

    return model.model, train


# What makes a toolbox's training, and the format of its weights.
PEERS = {"basicsr": (basicsr, "basicsr"), "mmagic": (mmagic, "mmediting"),
         "edsr-pytorch": (edsr_pytorch, "edsr-pytorch")}  # fmt: skip


def batches_of(count: int, size: int, patch: int, scale: int) -> list[Batch]:
    """Patches of the quickstart's photographs, and those shrunk by MATLAB's bicubic."""
    rng, found = np.random.default_rng(0), []
    images = [read_image(photograph(package, name)) for package, name, _ in PHOTOGRAPHS]
    side = patch * scale
    for _ in range(count):
        gt = []
        for _ in range(size):
            image = images[rng.integers(len(images))]
            top, left = (rng.integers(length - side + 1) for length in image.shape[:2])
            gt.append(image[top : top + side, left : left + side])
        pair = [np.stack([imresize(image, 1 / scale) for image in gt]), np.stack(gt)]
        found.append(tuple(torch.from_numpy(x).permute(0, 3, 1, 2).contiguous() for x in pair))
    return found


def ours(
    cfg: Any, start: dict[str, Tensor], batches: list[Batch]
) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and last weights of superres's training from the same start."""
    module = MODELS.build(to_plain(cfg.model)).double()
    module.data_preprocessor.to_float = lambda x: x.permute(0, 3, 1, 2).double() / 255.0
    module.backbone.load_state_dict(start)
    cpu = torch.device("cpu")
    wrapper = build_optim_wrapper(module, optim_config(cfg, Fast(), cpu))
    step, steps = TrainStep(module, wrapper, cpu), schedulers(cfg, wrapper)
    losses = []
    module.train()
    for lq, gt in batches:
        data = {"inputs": lq.permute(0, 2, 3, 1), "gt": gt.permute(0, 2, 3, 1), "meta": []}
        losses.append(float(step(data, 0)["loss"]))
        for one in steps:
            one.step()
    return losses, module.backbone.state_dict()


def apart(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    return float((found - wanted).abs().max() / wanted.abs().max())


def main(argv: list[str] | None = None) -> int:
    """Train both, compare, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("toolbox", choices=PEERS)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("config")
    parser.add_argument("--steps", type=whole(1), default=50)
    parser.add_argument("--batch", type=whole(1), help="instead of the config's batch size")
    args = parser.parse_args(argv)
    line = args.toolbox == "edsr-pytorch"
    with recipe_of_line(args.config).file() if line else contextlib.nullcontext() as leaf:
        cfg = load_config(str(leaf or args.config))
    size = args.batch or cfg.global_batch_size
    batches = batches_of(args.steps, size, cfg.lq_patch_size, cfg.scale)
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        sys.meta_path.insert(0, Empty())
        peer, form = PEERS[args.toolbox]
        network, train = peer(args.checkout.resolve(), args.config)

        def weights() -> dict[str, Tensor]:
            file = Path(folder) / "weights.pth"
            torch.save(network.state_dict(), file)
            return read_weights(file, format=form, scale=cfg.scale).state_dict

        first, theirs, last = weights(), train(batches), weights()
        losses, state = ours(cfg, first, batches)
    parts = {
        "losses": max(abs(a / b - 1) for a, b in zip(losses, theirs, strict=True)),
        "weights": max(apart(state[key], value) for key, value in last.items()),
        "moved": max(apart(first[key], value) for key, value in last.items()),
    }
    shown = {"toolbox": args.toolbox, "config": args.config if line else Path(args.config).name}
    shown |= {"steps": args.steps, "batch": size, "patch": cfg.lq_patch_size, "differences": parts}
    print(json.dumps({**shown, "losses": {"theirs": theirs, "superres": losses}}, indent=1))
    return int(max(parts["losses"], parts["weights"]) > TOLERANCE)


if __name__ == "__main__":
    sys.exit(exit_code(main))
