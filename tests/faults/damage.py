"""Files that are cut off, changed in a bit, on a bad sector: packs, pictures, checkpoints."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path

from .kinds import kind
from .lab import Fault, Lab
from .runs import Outcome
from .scenes import ITERATIONS


def flip(path: Path, rng: random.Random) -> str:
    """Change one bit."""
    at, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ (1 << bit)]))
    return f"bit {bit} of byte {at} of {path.name} changed"


def cut(path: Path, rng: random.Random) -> str:
    """Cut a file off at a random place."""
    at = rng.randrange(path.stat().st_size)
    os.truncate(path, at)
    return f"{path.name} cut off at byte {at}"


def blank(path: Path, rng: random.Random) -> str:
    """Zeros instead of a stretch, as a lost page leaves them."""
    size = path.stat().st_size
    at = rng.randrange(size)
    count = min(rng.choice((16, 512, 4096)), size - at)
    with path.open("r+b") as file:
        file.seek(at)
        before = file.read(count)
        file.seek(at)
        file.write(bytes(count))
    return f"{count} bytes of {path.name} at {at} blanked" + ("" if any(before) else ", as before")


DAMAGES = (flip, cut, blank)


def _judge(lab: Lab, fault: Fault, folder: Path, outcome: Outcome, names: list[str]) -> None:
    """Told with the name of what is damaged; or the damage lies where nothing is ever read."""
    lab.judge(fault, folder, outcome, (1, 2, 0), must_say=False)
    if outcome.code == 0 and "falling back" not in outcome.output:
        lab.compare(fault, folder)
    elif not any(name in outcome.output for name in names):
        fault.wrong.append(f"none of {names} is named: {outcome.output[-600:]}")


@kind("damaged pack")
def pack(lab: Lab, rng: random.Random, number: int) -> Fault:
    """Read in training, from the start or cut off under its reader."""
    fault, folder = Fault("damaged pack", "train"), lab.folder()
    copy = folder / "train.lmdb"
    shutil.copytree(lab.world / "train.lmdb", copy)
    data = copy / "data.mdb"
    under = number % 4 == 3
    if not under:
        fault.what = DAMAGES[number % 4](data, rng)
    (run,) = lab.scenes["train"].start(folder, lab.settings("train"))
    if under:
        time.sleep(rng.uniform(0, lab.seconds("train")))
        fault.what = cut(data, rng) + " while it was read"
    # The system ends a worker that reads beyond the end; its trainer says so.
    _judge(lab, fault, folder, run.wait(), ["train.lmdb", "worker died"])
    shutil.copytree(lab.world / "train.lmdb", copy, dirs_exist_ok=True)
    lab.go_on(fault, folder)
    return fault


@kind("damaged picture")
def image(lab: Lab, rng: random.Random, number: int) -> Fault:
    """One of those that are packed, scored or enlarged."""
    scene = ("upscale", "test", "pack")[number % 3]
    fault, folder = Fault("damaged picture", scene), lab.folder()
    photos = folder / "photos"
    shutil.copytree(lab.world / "photos", photos)
    victim = photos / f"photo{rng.randrange(10)}.png"
    patches = {}
    if number % 4 == 3:
        patches = {"bad_sector": {"path": str(victim), "seed": rng.getrandbits(30)}}
        fault.what = f"{victim.name} has a bad sector"
    else:
        fault.what = DAMAGES[number % 4](victim, rng)
    (run,) = lab.scenes[scene].start(folder, lab.settings(scene, patches))
    outcome = run.wait()
    if scene != "upscale" and outcome.code == 1:
        # The scores of the others, or the others packed: made whole by the next run below.
        _judge(lab, fault, folder, outcome, [victim.stem])
        shutil.rmtree(folder / "out")
    else:
        _judge(lab, fault, folder, outcome, [victim.stem])
    shutil.copytree(lab.world / "photos", photos, dirs_exist_ok=True)
    lab.go_on(fault, folder)
    return fault


@kind("damaged checkpoint")
def checkpoint(lab: Lab, rng: random.Random, number: int) -> Fault:
    """Resumed from, scored, or enlarged with."""
    scene = ("train", "test", "upscale")[number % 3]
    fault, folder = Fault("damaged checkpoint", scene), lab.folder()
    whole = lab.root / "undisturbed train" / "work"
    if scene == "train":
        (folder / "work").mkdir()
        shutil.copy(lab.root / "undisturbed train" / "trace.jsonl", folder)
        for iteration in range(3, ITERATIONS - 3, 3):
            shutil.copy(whole / f"iter_{iteration}.pth", folder / "work")
        victim = folder / "work" / f"iter_{iteration}.pth"
    else:
        victim = folder / "weights.pth"
        shutil.copy(whole / "best.pth", victim)
    patches = {}
    if number % 4 == 3:
        patches = {"bad_sector": {"path": str(victim), "seed": rng.getrandbits(30)}}
        fault.what = f"{victim.name} has a bad sector"
    else:
        fault.what = DAMAGES[number % 4](victim, rng)
    if scene == "train":
        original = victim.read_bytes()
        (run,) = lab.scenes[scene].start(folder, lab.settings(scene, patches), again=True)
        outcome = run.wait()
        fault.code, fault.said = outcome.code, (outcome.told or [""])[0].replace(str(lab.root), "")
        if outcome.code:
            fault.wrong.append(f"no way back to the one before it: {outcome.output[-800:]}")
        if victim.read_bytes() == original:  # the damaged one stays, for whoever wants to look
            shutil.copy(whole / victim.name, victim)
        fault.lost = "3 iterations" if "falling back" in outcome.output else ""
    else:
        (run,) = lab.scenes[scene].start(folder, lab.settings(scene, patches))
        _judge(lab, fault, folder, run.wait(), [victim.name])
        shutil.copy(whole / "best.pth", victim)
    lab.go_on(fault, folder)
    return fault
