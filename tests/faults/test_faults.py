"""Commands that are killed, or whose disk is full: what is there is whole, and they go on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook

from superres.cli.main import main
from superres.datasets.storage import open_store
from superres.imaging.io import read_image
from superres.registry import HOOKS
from tests.engine.conftest import CONFIG, differences, make_world, read_trace, tiny_options

from .process import Outcome, run

pytest.importorskip("fcntl", reason="what is killed here is forked")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and weights for them; no command writes here."""
    root = make_world(tmp_path_factory.mktemp("faults"))
    arguments = ["train", CONFIG, "--work-dir", str(root / "work"), "--cfg-options"]
    assert main([*arguments, *tiny_options(root), "max_iters=1", "val_sets=[]"]) == 0
    (root / "work/iter_1.pth").rename(root / "weights.pth")
    return root


def arguments(name: str, world: Path, out: Path) -> list[str]:
    """The command that writes to ``out``, so that it may be given again."""
    network = [f"data_root={world}", "model.backbone.channels=8", "model.backbone.num_blocks=1"]
    return {
        "train": [
            *("train", CONFIG, "--work-dir", f"{out}/work", "--trace", f"{out}/trace.jsonl"),
            *("--resume", "auto", "--cfg-options", *tiny_options(world)),
        ],
        "prepare": [
            *("data", "prepare", "folder", "--root", f"{world}/train", "--out", f"{out}/data"),
            *("--scales", "2", "--num-workers", "1"),
        ],
        "test": [
            *("test", CONFIG, f"{world}/weights.pth", "--out", f"{out}/test", "--save-images"),
            *("--sets", f"{world}/train", "--cfg-options", *network),
        ],
        "upscale": [
            *("upscale", f"{world}/train", "-o", f"{out}/large", "--model", f"{world}/weights.pth"),
            *("--backend", "torch", "--device", "cpu"),
        ],
    }[name]


COMMANDS = ("train", "prepare", "test", "upscale")


def content(path: Path) -> Any:
    """What a file says, without times; anything that cannot be read fails."""
    if path.suffix == ".lmdb":
        store = open_store(path)
        return {name: np.asarray(store.read(name)).tobytes() for name in store.names()}
    if path.suffix == ".png":
        return read_image(path).tobytes()
    if path.suffix == ".jsonl":
        return {line["iter"]: line for line in read_trace(path)}
    record = json.loads(path.read_text(encoding="utf-8"))["results"]
    return [[(i["name"], i["psnr"], i["ssim"]) for i in entry["images"]] for entry in record]


def outputs(out: Path) -> dict[str, Path]:
    """What a command has finished, by the names that stay."""
    kinds = ("work/iter_*.pth", "data/*/*.lmdb", "**/results.json", "**/*.png")
    return {str(p.relative_to(out)): p for kind in kinds for p in sorted(out.glob(kind))}


def same(path: Path, other: Path) -> bool:
    if path.suffix == ".pth":
        return differences(path, other) == []
    return content(path) == content(other)


@pytest.fixture(scope="module")
def undisturbed(
    world: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Outcome]]:
    """The folder of a run that nothing happens to, and how it ended."""
    done: dict[str, tuple[Path, Outcome]] = {}

    def get(name: str) -> tuple[Path, Outcome]:
        if name not in done:
            out = tmp_path_factory.mktemp("undisturbed") / name
            out.mkdir()
            done[name] = out, run(arguments(name, world, out), out)
            assert done[name][1].code == 0, done[name][1].output
        return done[name]

    return get


def check_whole(out: Path, reference: Path) -> None:
    """Each file that bears its final name is that of the undisturbed run."""
    for name, path in outputs(out).items():
        assert same(path, reference / name), name
    best = out / "work/best.pth"
    if best.exists():
        torch.load(best, weights_only=True)


def check_goes_on(name: str, world: Path, out: Path, reference: Path) -> None:
    """Given again, the command ends with all that an undisturbed one makes, and nothing else."""
    again = run(arguments(name, world, out), out)
    assert again.code == 0, again.output
    assert outputs(out).keys() == outputs(reference).keys()
    check_whole(out, reference)
    if name == "train":
        assert content(out / "trace.jsonl") == content(reference / "trace.jsonl")
        best = [torch.load(f / "work/best.pth", weights_only=True) for f in (out, reference)]
        torch.testing.assert_close(*(state["state_dict"] for state in best), rtol=0, atol=0)
    left = [p for kind in (".*.tmp", "*.partial", "*.probe") for p in out.rglob(kind)]
    assert left == []


@pytest.mark.parametrize("part", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_given_again(name, part, world, undisturbed, tmp_path):
    reference, whole = undisturbed(name)
    out = tmp_path / "out"
    out.mkdir()
    killed = run(arguments(name, world, out), out, 1 + int(part * (whole.changes - 1)))
    assert killed.code == -9, killed.output
    check_whole(out, reference)
    check_goes_on(name, world, out, reference)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A filesystem of ``size`` bytes at ``folder``; what it yields remounts it with options."""

    def mount(options: str, *kind: str) -> int:
        command = ["mount", *kind, "-o", options, *(["tmpfs"] if kind else []), str(folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode

    folder.mkdir()
    if os.geteuid() or mount(f"size={size}", "-t", "tmpfs"):
        pytest.skip("no right to mount a small filesystem here")
    try:
        yield lambda options: subprocess.run(
            ["mount", "-o", f"remount,{options}", str(folder)], check=True
        )
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("part", [0.3, 0.8])
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk(name, part, world, undisturbed, tmp_path):
    """A real one: any write, any of the files may be the one that finds no room."""
    reference, _ = undisturbed(name)
    needed = sum(-(-p.stat().st_size // 4096) * 4096 for p in reference.rglob("*") if p.is_file())
    with small_disk(tmp_path / "out", int(part * needed)) as remount:
        out = tmp_path / "out"
        full = run(arguments(name, world, out), out)
        assert full.code in ((1, 2) if name in ("test", "upscale") else (2,)), full.output
        assert "full" in full.output or "no space" in full.output.lower(), full.output
        assert "Traceback" not in full.output
        check_whole(out, reference)
        remount("size=64m")
        check_goes_on(name, world, out, reference)


def test_a_check_on_a_full_disk(world, tmp_path, capsys):
    folder = tmp_path / "disk"
    command = ["train", CONFIG, "--check", "--work-dir", f"{folder}/work", "--cfg-options"]
    with small_disk(folder, 16384) as remount:
        assert main([*command, *tiny_options(world)]) == 2
        said = capsys.readouterr().err
        assert "the disk (or quota) is full. Make room and start again" in said
        assert "--resume" not in said
        remount("ro")
        assert main([*command, *tiny_options(world)]) == 2
        assert f"{folder}: cannot be written, Read-only file system" in capsys.readouterr().err


@pytest.mark.parametrize("renamed", [True, False])
def test_a_work_dir_that_goes_while_training(renamed, world, tmp_path, capsys):
    """Renamed or removed, it is made again, and the checkpoints that follow are there."""

    @HOOKS.register_module(name="Goes", force=True)
    class Goes(Hook):
        def after_train_iter(self, runner: Any, *_: Any, **__: Any) -> None:
            if runner.iter == 2 and renamed:
                runner.work_dir.rename(tmp_path / "kept")
            elif runner.iter == 2:
                shutil.rmtree(runner.work_dir)

    hooks = f"_base_ = {CONFIG!r}\ncustom_hooks = [dict(type='Goes')]\n"
    (tmp_path / "config.py").write_text(hooks, encoding="utf-8")
    command = ["train", f"{tmp_path}/config.py", "--work-dir", f"{tmp_path}/work", "--cfg-options"]
    assert main([*command, *tiny_options(world), "tensorboard=True"]) == 0
    assert "made again" in capsys.readouterr().err
    assert list((tmp_path / "work/tensorboard").iterdir())
    assert (tmp_path / "work/iter_6.pth").is_file()
    assert (tmp_path / "work/log.jsonl").is_file()
    assert (tmp_path / "kept/log.jsonl").is_file() == renamed
