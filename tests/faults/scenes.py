"""The commands that faults happen to: how each is run, and what identifies its outputs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from superres.datasets.storage import ImageLmdb
from superres.engine.train.checkpoint import iteration_files
from superres.errors import UserError
from tests.engine.conftest import CONFIG
from tests.engine.ranks import environment, free_port

from .runs import Run, Settings

ITERATIONS, INTERVAL = 24, 3
_PASSING = (".tmp", ".partial", ".probe", ".lock", ".superres")


class Scene:
    """A command in a folder of its own, run again and again until it is done.

    Attributes:
        name: of the scene.
        again: the exit code with which it is done.
        ignored: files that may lie about when it is done.
    """

    name = ""
    ignored: tuple[str, ...] = ()

    def __init__(self, world: Path) -> None:
        self.world = world

    def argv(self, folder: Path, again: bool) -> list[str]:
        """The command line; ``again``: to go on after an interruption."""
        raise NotImplementedError

    def finished(self, folder: Path) -> dict[str, str]:
        """Name -> digest of every output that bears its final name.

        What cannot be read has a digest that says so, and equals nothing.
        """
        raise NotImplementedError

    def start(
        self, folder: Path, settings: Settings | None = None, again: bool = False
    ) -> list[Run]:
        """The command's processes, the first of several first."""
        return [Run(self.argv(folder, again), _log(folder), settings or Settings())]

    def leftovers(self, folder: Path) -> list[str]:
        """Files that no run is to leave behind once one has been whole."""
        return sorted(
            str(path.relative_to(folder))
            for path in folder.rglob("*")
            if any(part in path.name for part in _PASSING) and path.name not in self.ignored
        )

    def lost(self, folder: Path) -> str:
        """What an interruption has cost, in words; an empty text if that was nothing."""
        return ""

    def too_much(self, folder: Path) -> str:
        """What it has cost beyond what it may, else an empty text."""
        return ""


class Train(Scene):
    """24 iterations on a pack, checkpoints every 3, validations every 6, with a trace."""

    name = "train"
    ignored = (".lock",)
    extra: tuple[str, ...] = ("num_workers=1",)

    def __init__(self, world: Path, options: list[str]) -> None:
        super().__init__(world)
        self.options = [*options, f"max_iters={ITERATIONS}", f"checkpoint_interval={INTERVAL}"]

    def data(self, folder: Path) -> str:
        """The training set: of the folder if it has one of its own."""
        own = folder / "train.lmdb"
        return str(own if own.exists() else self.world / "train.lmdb")

    def argv(self, folder: Path, again: bool) -> list[str]:
        return [
            *("train", CONFIG, "--work-dir", str(folder / "work")),
            *("--trace", str(folder / "trace.jsonl")),
            *(("--resume", "auto") if again else ()),
            *("--cfg-options", *self.options, f"train_set={self.data(folder)}", *self.extra),
        ]

    def finished(self, folder: Path) -> dict[str, str]:
        work = folder / "work"
        paths = [path for _, path in iteration_files(work)]
        paths += [path for path in (work / "best.pth",) if path.exists()]
        found = {path.name: checkpoint_digest(path) for path in paths}
        if f"iter_{ITERATIONS}.pth" in found:
            found["trace"] = text_digest(json.dumps(trace(folder)))
        else:
            found.pop("best.pth", None)  # of another iteration than in the end
        return found

    def reached(self, folder: Path) -> int:
        """The last iteration of which there is a record."""
        return max((iteration for (iteration, _), _ in trace(folder)), default=0)

    def saved(self, folder: Path) -> int:
        """The iteration of the newest checkpoint."""
        return next((number for number, _ in iteration_files(folder / "work")), 0)

    def lost(self, folder: Path) -> str:
        count = self.reached(folder) - self.saved(folder)
        return f"{count} iterations" if count > 0 else ""

    def too_much(self, folder: Path) -> str:
        count = self.reached(folder) - self.saved(folder)
        # While one is being saved the one before it is the newest.
        return f"{count} iterations are lost, of {INTERVAL}" if count > INTERVAL else ""


class TrainOnRanks(Train):
    """The same on two gloo ranks."""

    name = "train on 2 ranks"
    extra = ("num_workers=0",)

    def start(
        self, folder: Path, settings: Settings | None = None, again: bool = False
    ) -> list[Run]:
        settings, port = settings or Settings(), free_port()
        argv = self.argv(folder, again)
        argv[2:2] = ["--launcher", "pytorch"]
        return [
            Run(
                argv,
                _log(folder, f"rank{rank}"),
                replace(
                    settings,
                    env={
                        **settings.env,
                        **environment(rank, 2, port, SUPERRES_DIST_TIMEOUT_MINUTES="0.2"),
                    },
                ),
            )
            for rank in range(2)
        ]


class Pack(Scene):
    """A folder of pictures to an LMDB of pixels."""

    name = "pack"

    def argv(self, folder: Path, again: bool) -> list[str]:
        source = folder / "photos"
        source = source if source.exists() else self.world / "photos"
        return ["data", "pack", str(source), str(self.target(folder)), "--num-workers", "0"]

    def target(self, folder: Path) -> Path:
        """The pack to be."""
        return folder / "out" / "photos.lmdb"

    def finished(self, folder: Path) -> dict[str, str]:
        target = self.target(folder)
        return pack_digests(target) if target.exists() else {}


class Test(Scene):
    """A checkpoint scored on ten pictures, which are kept."""

    name = "test"

    def argv(self, folder: Path, again: bool) -> list[str]:
        own, pictures = folder / "weights.pth", folder / "photos"
        return [
            *("test", CONFIG, str(own if own.exists() else self.world / "weights.pth")),
            *("--out", str(folder / "out"), "--save-images", "--sets"),
            str(pictures if pictures.exists() else self.world / "photos"),
            *("--cfg-options", *tiny(self.world)),
        ]

    def finished(self, folder: Path) -> dict[str, str]:
        out = folder / "out"
        found = file_digests(out, out.rglob("*.png"))
        if (out / "results.json").exists():
            found["results.json"] = results_digest(out / "results.json")
        return found


class Upscale(Scene):
    """A folder of pictures, enlarged."""

    name = "upscale"

    def argv(self, folder: Path, again: bool) -> list[str]:
        own, pictures = folder / "weights.pth", folder / "photos"
        return [
            *("upscale", str(pictures if pictures.exists() else self.world / "photos")),
            *("-o", str(folder / "out"), "--backend", "torch", "--device", "cpu"),
            *("--model", str(own if own.exists() else self.world / "weights.pth")),
        ]

    def finished(self, folder: Path) -> dict[str, str]:
        out = folder / "out"
        return file_digests(out, out.rglob("*.png"))


class Export(Scene):
    """Weights for people."""

    name = "export"

    def argv(self, folder: Path, again: bool) -> list[str]:
        out = folder / "out"
        out.mkdir(exist_ok=True)
        return [
            "export",
            "safetensors",
            str(self.world / "weights.pth"),
            str(out / "x.safetensors"),
            # A file that is there is not replaced unasked, and the message says how to ask.
            *(("--overwrite",) if again else ()),
        ]

    def finished(self, folder: Path) -> dict[str, str]:
        out = folder / "out"
        return file_digests(out, out.glob("x.safetensors"))


def tiny(world: Path) -> list[str]:
    """The options of the network that the world's weights are of."""
    return [f"data_root={world}", "model.backbone.channels=8", "model.backbone.num_blocks=1"]


def trace(folder: Path) -> list[tuple[tuple[int, int], str]]:
    """((iteration, rank), line), the last of each, of a trace whose lines may be cut off."""
    lines: dict[tuple[int, int], str] = {}
    path = folder / "trace.jsonl"
    for text in path.read_bytes().splitlines() if path.exists() else ():
        try:
            line = json.loads(text)
            lines[line["iter"], line["rank"]] = text.decode()
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(lines.items())


def text_digest(text: str) -> str:
    """The SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def file_digests(folder: Path, paths: Iterable[Path]) -> dict[str, str]:
    """Path below ``folder`` -> SHA-256 of a file's bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
        if not path.name.startswith(".")
    }


def checkpoint_digest(path: Path) -> str:
    """A hash of all that a checkpoint holds but ``meta``, which has the time in it."""
    found = hashlib.sha256()

    def add(value: Any, place: str) -> None:
        if isinstance(value, dict):
            for key in sorted(value, key=str):
                add(value[key], f"{place}.{key}")
        elif isinstance(value, (list, tuple)):
            for number, item in enumerate(value):
                add(item, f"{place}.{number}")
        elif isinstance(value, torch.Tensor):
            found.update(f"{place} {value.dtype} {tuple(value.shape)} ".encode())
            found.update(value.contiguous().numpy().tobytes())
        else:
            found.update(f"{place} {value!r} ".encode())

    try:
        state = torch.load(path, weights_only=True)
        state.pop("meta")
    except Exception as error:  # a broken file fails in any way, and that is the finding
        return f"broken: {error}"
    add(state, "")
    return found.hexdigest()


def pack_digests(target: Path) -> dict[str, str]:
    """Name -> digest of the pixels of a pack, each compared with its checksum."""
    try:
        with ImageLmdb(target) as store:
            found = {}
            for i, name in enumerate(store.names()):
                pixels = np.ascontiguousarray(store.read_verified_at(i))
                found[name] = hashlib.sha256(
                    repr(pixels.shape).encode() + pixels.tobytes()
                ).hexdigest()
    except UserError as error:
        return {"pack": f"broken: {error}"}
    extra = sorted(os.listdir(target))
    return found if extra == ["data.mdb"] else {**found, "files": str(extra)}


def results_digest(path: Path) -> str:
    """A hash of a results.json without its timings."""

    def timeless(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k not in ("seconds", "memory_mb")}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scores = {key: timeless(record[key]) for key in ("results", "baselines")}
        if any("error" in image for entry in record["results"] for image in entry["images"]):
            return "partial, and says so"
    except (ValueError, KeyError) as error:
        return f"broken: {error!r}"
    return text_digest(json.dumps(scores, sort_keys=True))


def _log(folder: Path, name: str = "said") -> Path:
    number = len(list(folder.glob(f"{name}*.log")))
    return folder / f"{name}{number}.log"
