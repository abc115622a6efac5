"""Where faults are made: a small world, undisturbed runs, and the verdict on each fault."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from superres.datasets.pack import pack_images
from superres.imaging.io import write_image
from tests.engine.conftest import make_world, picture, tiny_options

from .runs import Outcome, Run, Settings
from .scenes import Export, Pack, Scene, Test, Train, TrainOnRanks, Upscale


@dataclass
class Fault:
    """One fault and what came of it.

    Attributes:
        kind: of fault.
        scene: the command that it happened to.
        what: what was done to it, and when.
        code: the exit code that the disturbed command ended with.
        said: its last message.
        lost: work that has to be done again; empty: none.
        went_on: whether the next run was done in the end.
        equal: whether all final outputs are those of an undisturbed run.
        wrong: what must not be; empty if all is as it should be.
    """

    kind: str
    scene: str
    what: str = ""
    code: int | None = None
    said: str = ""
    lost: str = ""
    went_on: bool = False
    equal: bool = False
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


class Lab:
    """A world in ``root``, and how its commands end undisturbed.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "world").mkdir(parents=True)
        self.world = make_world(root / "world")
        photos = self.world / "photos"
        photos.mkdir()
        for number in range(10):
            write_image(photos / f"photo{number}.png", picture(100 + number, 60, 68))
        pack_images(self.world / "train", self.world / "train.lmdb", num_workers=0)
        self._references: dict[str, tuple[dict[str, str], float]] = {}
        self._every: dict[str, dict[str, str]] = {}
        options = tiny_options(self.world)
        self.scenes: dict[str, Scene] = {
            scene.name: scene
            for scene in (
                Train(self.world, options),
                TrainOnRanks(self.world, options),
                Pack(self.world),
                Test(self.world),
                Upscale(self.world),
                Export(self.world),
            )
        }
        self._number = 0
        # What other scenes test, enlarge and export.
        self.reference("train")
        shutil.copy(root / "undisturbed train/work/best.pth", self.world / "weights.pth")

    def folder(self) -> Path:
        """A new folder."""
        self._number += 1
        path = self.root / f"fault{self._number}"
        path.mkdir()
        return path

    def reference(self, scene: str) -> dict[str, str]:
        """The outputs of an undisturbed run: name -> digest."""
        return self._undisturbed(scene)[0]

    def allowed(self, name: str) -> dict[str, str]:
        """These, and what a run that stops anywhere may save besides."""
        if isinstance(self.scenes[name], Train) and name not in self._every:
            folder = self.root / f"every iteration of {name}"
            folder.mkdir()
            extra, scene = self.scenes[name].extra, self.scenes[name]
            scene.extra = (*extra, "checkpoint_interval=1")
            for run in scene.start(folder, self.settings(name)):
                run.wait()
            scene.extra = extra
            self._every[name] = scene.finished(folder)
        return {**self._every.get(name, {}), **self.reference(name)}

    def seconds(self, scene: str) -> float:
        """How long an undisturbed run takes."""
        return self._undisturbed(scene)[1]

    def _undisturbed(self, name: str) -> tuple[dict[str, str], float]:
        if name not in self._references:
            scene, folder = self.scenes[name], self.root / f"undisturbed {name}"
            seconds = 0.0
            for _ in range(2):  # the first one also warms up what is forked
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                started = time.monotonic()
                runs = scene.start(folder, self.settings(name))
                outcomes = [run.wait() for run in runs]
                seconds = time.monotonic() - started
            if any(outcome.code for outcome in outcomes):
                raise RuntimeError(f"undisturbed, {name} ends with {outcomes}")
            self._references[name] = scene.finished(folder), seconds
        return self._references[name]

    @staticmethod
    def settings(
        scene: str, patches: dict[str, dict] | None = None, cold: bool = False
    ) -> Settings:
        """How a scene is run; some are slowed down, being too quick to be caught."""
        slow: dict[str, dict] = {}
        if not cold and scene == "pack":
            slow = {"pace": {"seconds": 0.03}}
        elif not cold and scene.startswith("train"):
            slow = {"steps": {"seconds": 0.03}}
        return Settings(patches={**slow, **(patches or {})}, cold=cold)

    # -- the verdict ----------------------------------------------------------------------------

    def judge(
        self,
        fault: Fault,
        folder: Path,
        outcome: Outcome,
        codes: tuple[int, ...],
        must_say: bool = True,
        losable: bool = True,
    ) -> None:
        """What the disturbed command reported and left behind, before anything else is done.

        Args:
            outcome: of its process, or of the one that is to tell of the fault.
            codes: the exit codes that it may end with.
            must_say: it has to tell of the fault, if it did not end with 0.
            losable: work since the last checkpoint may be lost.
        """
        scene = self.scenes[fault.scene]
        fault.code = outcome.code
        told = outcome.told
        lines = told or [line for line in outcome.output.splitlines() if line.strip()]
        fault.said = (lines[-1] if lines and (told or outcome.code > 0) else "")[:300]
        fault.said = fault.said.replace(str(self.root), "").strip()
        fault.lost = scene.lost(folder)
        if outcome.code not in codes:
            end = outcome.output[-800:]
            fault.wrong.append(f"ended with {outcome.code} instead of {codes}: {end}")
        # A worker may print one when its trainer is gone at once; nobody can prevent that.
        if outcome.traceback and outcome.code != -signal.SIGKILL:
            fault.wrong.append(f"a traceback: {outcome.output[-2000:]}")
        errors = [line for line in told if line.startswith("error")]
        if len(errors) > 1:
            fault.wrong.append(f"more than one message: {errors}")
        if must_say and outcome.code > 0 and not told and "failed" not in outcome.output:
            fault.wrong.append("nothing was said")
        reference = self.allowed(fault.scene)
        for name, digest in scene.finished(folder).items():
            if name == "best.pth" and not digest.startswith("broken"):
                continue  # perhaps the last validation is still to come
            if reference.get(name) != digest and digest != "partial, and says so":
                fault.wrong.append(f"{name} is there and not what it should be ({digest[:200]})")
        if too_much := scene.too_much(folder) if losable else fault.lost:
            fault.wrong.append(f"lost: {too_much}")

    def go_on(self, fault: Fault, folder: Path, settings: Settings | None = None) -> None:
        """Run the command again; its outputs have to be those of an undisturbed run."""
        scene = self.scenes[fault.scene]
        runs = scene.start(folder, settings or self.settings(fault.scene), again=True)
        outcomes = [run.wait() for run in runs]
        fault.went_on = not any(outcome.code for outcome in outcomes)
        if not fault.went_on:
            fault.wrong.append(f"the next run does not go on: {outcomes[0].output[-800:]}")
        self.compare(fault, folder)

    def compare(self, fault: Fault, folder: Path) -> None:
        """All final outputs with those of an undisturbed run; nothing else may lie about."""
        scene = self.scenes[fault.scene]
        found, allowed = scene.finished(folder), self.allowed(fault.scene)
        names = {*self.reference(fault.scene), *found}
        differing = sorted(name for name in names if allowed.get(name) != found.get(name))
        fault.equal = not differing
        if differing:
            fault.wrong.append(f"not those of an undisturbed run: {differing}")
        if left := scene.leftovers(folder):
            fault.wrong.append(f"left behind: {left}")

    # -- moments --------------------------------------------------------------------------------

    def at_random(
        self,
        rng: random.Random,
        name: str,
        strike: Callable[[list[Run]], bool],
        settings: Settings | None = None,
    ) -> tuple[Path, list[Run], float]:
        """Start a command in a new folder and strike it at a random moment of its time.

        Args:
            strike: does the harm; False if there was nothing to harm, and it is tried anew.
            settings: how it is run.

        Returns:
            (folder, its processes, seconds since the start).
        """
        settings = settings or self.settings(name)
        seconds = self.seconds(name) + (3.0 if settings.cold else 0.0)
        for attempt in range(15):
            folder = self.folder()
            runs = self.scenes[name].start(folder, settings)
            moment = rng.uniform(0.01, seconds) * 0.9**attempt
            time.sleep(max(0.0, moment - (time.monotonic() - runs[0].started)))
            moment = time.monotonic() - runs[0].started
            if strike(runs):
                return folder, runs, moment
            for run in runs:
                run.send(signal.SIGKILL, group=True)
                run.wait()
            shutil.rmtree(folder)
        raise RuntimeError(f"{name} was never there to be struck")


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Callable[[str], None]]:
    """A filesystem of ``size`` bytes at ``folder``; what it gives remounts it with options.

    Raises:
        PermissionError: this user may not mount anything.
    """
    folder.mkdir(parents=True, exist_ok=True)

    def mount(options: str, *more: str) -> int:
        return subprocess.run(
            ["mount", *more, "-o", options, *(["tmpfs"] if more else []), str(folder)],
            capture_output=True,
        ).returncode

    if os.geteuid() or mount(f"size={size}", "-t", "tmpfs"):
        raise PermissionError("no right to mount a small filesystem")

    def again(options: str) -> None:
        if mount(f"remount,{options}"):
            raise RuntimeError(f"{folder} cannot be remounted with {options}")

    try:
        yield again
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
