"""Clocks that jump, renames that come late, and two commands in one place."""

from __future__ import annotations

import os
import random
import signal
import socket
import time

from .kinds import kind
from .lab import Fault, Lab
from .signals import SCENES

_YEAR = 365 * 24 * 3600.0


@kind("clock jump")
def clock(lab: Lab, rng: random.Random, number: int) -> Fault:
    """Back or forth by seconds to years, in a run that is also killed now and then."""
    scene = SCENES[number % len(SCENES)]
    fault = Fault("clock jump", scene)
    jump = rng.choice((-1, 1)) * 10 ** rng.uniform(0, 8.5)
    after = rng.uniform(0, lab.seconds(scene))
    settings = lab.settings(scene, {"clock": {"after": after, "jump": jump}})
    fault.what = f"by {jump / 3600:+.1f} h after {after:.2f} s"
    if number % 2:
        folder, (run,), moment = lab.at_random(rng, scene, lambda runs: runs[0].kill(), settings)
        fault.what += f", kill -9 after {moment:.2f} s"
        lab.judge(fault, folder, run.wait(), (-signal.SIGKILL,))
    else:
        folder = lab.folder()
        (run,) = lab.scenes[scene].start(folder, settings)
        lab.judge(fault, folder, run.wait(), (0,))
        lab.compare(fault, folder)
    lab.go_on(fault, folder, settings)
    return fault


@kind("late rename")
def rename(lab: Lab, rng: random.Random, number: int) -> Fault:
    """As over NFS: a rename, or its answer, takes long, and the process is killed meanwhile."""
    scene, late = (*SCENES, "export")[number % 5], bool(number % 2)
    fault = Fault("late rename", scene)
    renames = {"train": 16, "pack": 1, "test": 14, "upscale": 10, "export": 1}[scene]
    which, pause = rng.randint(1, renames), 0.4
    folder = lab.folder()
    marker = folder / "marker"
    patch = {"number": which, "seconds": pause, "marker": str(marker), "late": late}
    (run,) = lab.scenes[scene].start(folder, lab.settings(scene, {"slow_rename": patch}))
    while run.running and not marker.exists():
        time.sleep(0.002)
    time.sleep(rng.uniform(0, pause * 0.9))
    told = "its answer" if late else "it"
    fault.what = f"{told} takes {pause} s at rename {which}, kill -9 meanwhile"
    if not run.kill():
        fault.wrong.append(f"rename {which} was not made")
    lab.judge(fault, folder, run.wait(), (-signal.SIGKILL,))
    lab.go_on(fault, folder)
    return fault


@kind("two in one place")
def two(lab: Lab, rng: random.Random, number: int) -> Fault:
    """The second one is told who holds the place, or both do the same work; neither harms it."""
    scene = SCENES[number % len(SCENES)]
    fault = Fault("two in one place", scene)
    folder, settings = lab.folder(), lab.settings(scene)
    (first,) = lab.scenes[scene].start(folder, settings)
    moment = rng.uniform(0, 0.7 * lab.seconds(scene))
    time.sleep(moment)
    (second,) = lab.scenes[scene].start(folder, settings)
    fault.what = f"a second one after {moment:.2f} s"
    outcomes = [first.wait(), second.wait()]
    codes = sorted(outcome.code for outcome in outcomes)
    refused = next((o for o in outcomes if o.code == 2), None)
    lab.judge(fault, folder, refused or outcomes[1], (0, 2))
    if codes not in ([0, 0], [0, 2]):
        fault.wrong.append(f"they ended with {codes}")
    if scene in ("train", "pack") and refused is not None:
        pids = (str(first.pid), str(second.pid))
        named = any(pid in refused.output for pid in pids)
        if "just finished" not in refused.output and not (
            named and socket.gethostname() in refused.output and "since" in refused.output
        ):
            fault.wrong.append(f"it does not say who holds it since when: {refused.output}")
    lab.compare(fault, folder)
    lab.go_on(fault, folder)
    if scene == "train" and os.path.exists(folder / "work/previous_runs"):
        fault.wrong.append("the run that was there was moved aside")
    return fault
