"""What the commands ``train`` and ``test`` do, from a config's name to the exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from superres.errors import UserError
from superres.files import write_text

from .config.check import check_config, scale_lr
from .config.load import load_config, parse_options, planned_size, their_keys
from .distributed import agreement, launch
from .distributed.failure_report import is_broken_exchange
from .run_log import RunLog, commit, processor_name
from .train.checkpoint import find_resumable, iteration_files, open_work_dir, set_aside

Options = list[str] | dict[str, Any] | None
"""``KEY=VALUE`` changes to a config, or values by dotted key."""


@dataclass(frozen=True)
class TrainOptions:
    """What a training is asked for; None and False do as the config says.

    Attributes:
        work_dir: default ``work_dirs/<config name>``.
        resume: 'auto' continues from the work dir's newest whole checkpoint, else the path of one.
            None does as the config says, which by default starts from the beginning (an earlier
            run in the work dir is moved aside).
        seed, amp, deterministic, auto_scale_lr: see docs/configs.md.
        launcher: 'none', 'pytorch' or 'slurm'.
        trace: file for a record of every iteration.
        check: try a few iterations, a validation and a checkpoint, and leave nothing behind.
    """

    work_dir: str | os.PathLike | None = None
    resume: str | os.PathLike | None = None
    seed: int | None = None
    amp: bool = False
    deterministic: bool = False
    auto_scale_lr: bool = False
    launcher: str | None = None
    trace: str | None = None
    check: bool = False


def prepare(
    name: str | Config, launcher: str | None, changes: dict[str, Any], **arguments: Any
) -> tuple[Config, torch.device]:
    """Read and check a config, join the other processes and compare: (config, device).

    Args:
        launcher: instead of the config's.
        changes: to the config, by dotted key.
        arguments: of the command, which all processes must have been given alike.

    Raises:
        UserError: whatever the user can put right; on all processes, whichever has found it.
    """
    cfg, mistake = None, None
    try:
        cfg = load_config(name, changes, launcher)
        launcher = launcher or cfg.get("launcher")
        check_config(cfg, planned_size(launcher))
    except UserError as error:
        mistake = error
    connection = cfg.get("env_cfg", {}).get("dist_cfg", {}) if cfg else {}
    device = launch.join(launcher or "none", connection.get("backend"), connection.get("timeout"))
    agreement.share_mistake(mistake)
    if launch.world_size() > 1:
        given = {key: repr(value) for key, value in arguments.items()}
        agreement.require_same("config and program", {**given, **agreement.run_facts(cfg)})
    return cfg, device


def guarded(work: Callable[[], int]) -> int:
    """Do the work of one process, then leave the others; returns the exit code.

    The others hear of a failure here. Where one of theirs breaks an exchange off, that is one
    message instead of a traceback, with their exit code, or 1 if they just died.
    """
    try:
        return work()
    except Exception as error:
        peers = launch.peers()
        if peers is None:
            raise
        # Launchers send SIGTERM once a process has failed; a few seconds are needed to say why.
        with contextlib.suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if not is_broken_exchange(error):
            peers.announce(error, launch.leave)
            raise
        text, code = peers.explain(error)
        if text:
            print(f"error [rank {launch.rank()}]: {text}", file=sys.stderr, flush=True)
        return code
    finally:
        launch.leave()


def train(
    name: str | Config,
    options: Options = None,
    on_start: Callable[[Path], None] = lambda _: None,
    **wanted: Any,
) -> int:
    """Train from a config; returns the exit code.

    Args:
        name: config path, bare name, or a complete config.
        options: changes to the config.
        on_start: called with the work dir, once it is ours.
        wanted: of :class:`TrainOptions`.

    Raises:
        UserError: whatever the user can put right.
    """
    how, changes = TrainOptions(**wanted), parse_options(options)
    flags = {"deterministic": how.deterministic, "auto_scale_lr.enable": how.auto_scale_lr}
    changes |= {key: True for key, given in flags.items() if given}
    changes |= {} if how.seed is None else {"seed": how.seed}
    return guarded(lambda: _train(name, how, changes, on_start))


def _train(
    name: str | Config, how: TrainOptions, changes: dict[str, Any], on_start: Callable[[Path], None]
) -> int:
    from .hooks.trace import TraceHook
    from .test.sets import prepare_sets
    from .train.build import build_trainer, introduction, training_set
    from .train.trial import try_out

    cfg, device = prepare(name, how.launcher, changes, resume=how.resume, amp=how.amp)
    if how.amp:
        cfg.amp = cfg.get("amp") or True
    stem = Path(cfg.filename).stem if cfg.filename else "run"
    folder = Path(how.work_dir or cfg.get("work_dir") or Path("work_dirs") / stem)
    log = RunLog(launch.rank(), level=cfg.get("log_level"))
    with contextlib.ExitStack() as at_the_end:
        at_the_end.callback(log.close)
        at_the_end.enter_context(their_keys(cfg))
        resume = how.resume or _resume_by_config(cfg, folder)
        if how.check:
            return try_out(cfg, device, folder, log, resume)
        mistake = None
        try:
            if log.rank == 0:
                at_the_end.callback(open_work_dir(folder, log.warn).close)
        except UserError as error:
            mistake = error
        agreement.share_mistake(mistake)
        on_start(folder)
        changed = {key: str(value) for key, value in changes.items()}
        log.debug(f"config {stem}", config=stem, changes=changed)

        wanted = None if resume in (None, "auto") else Path(resume)
        if cfg.get("seed") is None:
            found = find_resumable(folder, wanted, lambda _: None) if resume else None
            saved = found[1].get("meta", {}).get("seed") if found else None
            drawn = int.from_bytes(os.urandom(4), "little")
            cfg.seed = launch.broadcast(drawn if saved is None else saved)
            log.say(f"seed {cfg.seed}")
        if launch.world_size() > 1:
            agreement.require_same_data(
                lambda: training_set(cfg), lambda: prepare_sets(cfg, lambda _: None)
            )
        if scaled := scale_lr(cfg):
            log.say(scaled)
        traced = [TraceHook(how.trace)] if how.trace else []
        trainer = build_trainer(cfg, device, folder, log, traced)
        # Until here everything may turn out to be a mistake, which must not touch an earlier run.
        resumed = bool(resume) and trainer.resume(wanted)
        if log.rank == 0:
            # Going on from an older checkpoint: the newer ones are of a branch that is given up.
            branch = trainer.iter if wanted and resumed else None
            moved = set_aside(folder, branch) if resume is None or branch is not None else None
            if moved:
                log.say(f"moved the previous run to {moved}")
            log.log_to(folder / "log.jsonl")
            write_text(folder / "config.py", cfg.pretty_text)
        launch.barrier()
        if resume and not resumed:
            log.say(f"no checkpoint in {folder} to resume from: starting from the beginning")
        for line in introduction(trainer):
            log.say(line)
        if log.rank == 0:
            gpu, code = device.type == "cuda", commit()
            where = torch.cuda.get_device_name(device) if gpu else processor_name()
            where = f"{trainer.world_size} x {where}" if gpu else where
            log.debug(f"on {where}, commit {code}", hardware=where, commit=code)
        return trainer.train()


def _resume_by_config(cfg: Config, folder: Path) -> str | None:
    """What to resume from where the command does not say: 'auto', a checkpoint, or nothing.

    As in mmengine, ``resume = True`` takes ``load_from`` for the checkpoint, where it is given.
    """
    wanted = cfg.get("load_from") if cfg.get("resume") else None
    if wanted:
        cfg.load_from = None
    # Launched again, by torchrun after a failure or by Slurm after the time limit. Each machine
    # counts its own restarts.
    counts = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    again = launch.largest(max(int(os.environ.get(c) or 0) for c in counts))
    if again and (not wanted or launch.broadcast(bool(iteration_files(folder)))):
        return "auto"
    return wanted or ("auto" if cfg.get("resume") else None)


def test(
    name: str | Config | None,
    checkpoint: str | os.PathLike,
    launcher: str | None = None,
    options: Options = None,
    **wanted: Any,
) -> int:
    """Score a checkpoint on the config's sets, print the tables, write ``results.json``.

    Args:
        name, launcher, options: as in :func:`train`; None takes the network from the file.
        checkpoint: see :func:`superres.engine.test.runner.run_test`.
        wanted: of :class:`superres.engine.test.runner.TestOptions`.

    Raises:
        UserError: whatever the user can put right.
    """

    def work() -> int:
        from superres.checkpoints import read_weights

        from .test.runner import TestOptions, run_test
        from .test.subject import config_of

        how = TestOptions(**wanted)
        config = name
        if config is None:
            config = config_of(read_weights(checkpoint, how.weight_format, how.scale))
        elif how.scale is not None:
            raise UserError("--scale goes with weights alone; of a config: --cfg-options scale=2")
        given = {"sets": how.sets, "protocols": how.protocols}
        cfg, device = prepare(config, launcher, parse_options(options), **given)
        with their_keys(cfg):
            return run_test(cfg, device, Path(checkpoint), how)

    return guarded(work)
