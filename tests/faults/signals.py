"""What a person, a scheduler and a terminal that closes send."""

from __future__ import annotations

import random
import signal
import time

from .kinds import kind
from .lab import Fault, Lab
from .runs import Run

SCENES = ("train", "pack", "test", "upscale")


def _signalled(
    lab: Lab, rng: random.Random, number: int, name: str, numbers: list[int], codes: tuple[int, ...]
) -> Fault:
    scene, cold = SCENES[number % len(SCENES)], number % 6 == 5
    fault = Fault(name, scene)
    gap = rng.uniform(0.0, 0.8)

    def strike(runs: list[Run]) -> bool:
        # A terminal and a scheduler signal the whole job.
        if not runs[0].send(numbers[0], group=True):
            return False
        for each in numbers[1:]:
            time.sleep(gap)
            runs[0].send(each, group=True)
        return True

    folder, (run,), moment = lab.at_random(rng, scene, strike, lab.settings(scene, cold=cold))
    fault.what = f"after {moment:.2f} s" + (", started afresh" if cold else "")
    if numbers[1:]:
        fault.what += f", again {gap:.2f} s later"
    outcome = run.wait(90)
    if orphans := run.orphans():
        fault.wrong.append(f"processes that outlive it: {orphans}")
    # 0: it was through with its work.
    lab.judge(fault, folder, outcome, (*codes, 0), losable=bool(numbers[1:]))
    lab.go_on(fault, folder)
    return fault


@kind("SIGTERM")
def terminated(lab: Lab, rng: random.Random, number: int) -> Fault:
    """143 after saving; the signal itself while Python starts."""
    return _signalled(lab, rng, number, "SIGTERM", [signal.SIGTERM], (143, -signal.SIGTERM))


@kind("SIGINT twice")
def interrupted(lab: Lab, rng: random.Random, number: int) -> Fault:
    """130, and no traceback."""
    twice = [signal.SIGINT, signal.SIGINT]
    return _signalled(lab, rng, number, "SIGINT twice", twice, (130, -signal.SIGINT))


@kind("SIGHUP")
def hung_up(lab: Lab, rng: random.Random, number: int) -> Fault:
    """The terminal was closed: as SIGTERM."""
    return _signalled(lab, rng, number, "SIGHUP", [signal.SIGHUP], (143, -signal.SIGHUP))
