"""``kill -9`` at random moments: of whole commands, of a loader's worker, of one of two ranks."""

from __future__ import annotations

import os
import random
import signal
import time

from .kinds import kind
from .lab import Fault, Lab
from .runs import Run


def _kill_command(lab: Lab, rng: random.Random, number: int, name: str, scene: str) -> Fault:
    cold = number % 5 == 4  # now and then with all that starting Python has in it
    fault = Fault(name, scene)
    folder, (run,), moment = lab.at_random(
        rng, scene, lambda runs: runs[0].kill(), lab.settings(scene, cold=cold)
    )
    fault.what = f"kill -9 after {moment:.2f} s" + (", started afresh" if cold else "")
    outcome = run.wait()
    if orphans := run.orphans():
        fault.wrong.append(f"processes that outlive it: {orphans}")
    lab.judge(fault, folder, outcome, (-signal.SIGKILL,))
    lab.go_on(fault, folder)
    return fault


@kind("kill -9: training")
def training(lab: Lab, rng: random.Random, number: int) -> Fault:
    """The main process; its workers have to go with it."""
    return _kill_command(lab, rng, number, "kill -9: training", "train")


@kind("kill -9: packing")
def packing(lab: Lab, rng: random.Random, number: int) -> Fault:
    """At any moment, between commits and within."""
    return _kill_command(lab, rng, number, "kill -9: packing", "pack")


@kind("kill -9: testing")
def testing(lab: Lab, rng: random.Random, number: int) -> Fault:
    """With pictures that are kept."""
    return _kill_command(lab, rng, number, "kill -9: testing", "test")


@kind("kill -9: upscaling")
def upscaling(lab: Lab, rng: random.Random, number: int) -> Fault:
    """A folder of pictures."""
    return _kill_command(lab, rng, number, "kill -9: upscaling", "upscale")


@kind("kill -9: a loader's worker")
def worker(lab: Lab, rng: random.Random, number: int) -> Fault:
    """The run ends with a message instead of waiting for ever."""
    fault = Fault("kill -9: a loader's worker", "train")

    def strike(runs: list[Run]) -> bool:
        deadline = time.monotonic() + 2
        while runs[0].running and time.monotonic() < deadline:
            for pid in runs[0].children():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                return True
        return False

    folder, (run,), moment = lab.at_random(rng, "train", strike)
    fault.what = f"kill -9 of its worker after {moment:.2f} s"
    # 0: it had made all its batches already.
    lab.judge(fault, folder, run.wait(), (2, 0))
    lab.go_on(fault, folder)
    return fault


@kind("kill -9: one of two ranks")
def rank(lab: Lab, rng: random.Random, number: int) -> Fault:
    """The other one says which, and ends with 1."""
    scene, victim = "train on 2 ranks", number % 2
    fault = Fault("kill -9: one of two ranks", scene)
    folder, runs, moment = lab.at_random(
        rng, scene, lambda runs: runs[0].running and runs[victim].kill()
    )
    fault.what = f"kill -9 of rank {victim} after {moment:.2f} s"
    outcome = runs[1 - victim].wait(150)
    runs[victim].wait()
    # 2: it had not come yet. 0: both were at their end.
    lab.judge(fault, folder, outcome, (1, 2, 0))
    lab.go_on(fault, folder)
    return fault
