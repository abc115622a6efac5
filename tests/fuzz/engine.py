"""Runs targets on mutated inputs, in a child process: a decoder that dies takes only that along."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import tempfile
import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path

from superres.errors import UserError
from tests.fuzz.targets import TARGETS, Target, emptied, prepare

SECONDS = 20  # for one input
BATCH = 200
_CORPUS = 500


@dataclass
class Outcome:
    """What came of fuzzing one target.

    Attributes:
        inputs: how many were tried.
        kinds: distinct ways in which they ended: success, or a message without its particulars.
        finds: what should not have happened: kind and the file that holds the input.
        coverage: branches that atheris saw; None without it.
    """

    target: str
    seed: int
    inputs: int = 0
    seconds: float = 0.0
    kinds: set[str] = field(default_factory=set)
    finds: dict[str, str] = field(default_factory=dict)
    coverage: int | None = None


def mutated(rng: random.Random, corpus: list[bytes], words: tuple[bytes, ...]) -> bytes:
    """An input of the corpus with a few changes: bits, bytes, words, stretches cut or repeated."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        # Headers decide most; they get half of the changes.
        at = rng.randrange(min(len(data), rng.choice((64, 512, 1 << 30))) + 1)
        length = rng.choice((1, 2, 4, 8, 30, 200))
        kind = rng.randrange(7)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(data):
            data[at] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = data[at : at + length] * rng.randint(1, 3)
        elif kind == 4 and words:
            word = rng.choice(words)
            data[at : at + rng.choice((0, len(word), length))] = word
        elif kind == 5:
            other = rng.choice(corpus)
            start = rng.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        elif kind == 6 and rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def kind_of(target: Target, data: bytes, folder: Path) -> tuple[str, str]:
    """(how an input ended, empty or the traceback of what should not have happened)."""
    try:
        target.run(data, emptied(folder))
    except UserError as error:
        text = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+", "_", str(error))
        return re.sub(r"[^a-zA-Z_ ]+", "#", text)[:60], ""
    except BaseException as error:
        where = [f for f in traceback.extract_tb(error.__traceback__) if "superres" in f.filename]
        place = f"{Path(where[-1].filename).name}:{where[-1].lineno}" if where else "?"
        return f"{type(error).__name__} at {place}", traceback.format_exc()
    return "success", ""


def fuzz(
    name: str,
    *,
    seconds: float = 1e9,
    count: int = 1 << 60,
    seed: int = 0,
    keep: Path | None = None,
) -> Outcome:
    """Fuzz a target by random mutation until the time or the number of inputs is used up.

    Args:
        keep: where inputs that are finds are written; each kind once.
    """
    target, rng = TARGETS[name], random.Random(f"{name} {seed}")
    outcome, started = Outcome(name, seed), time.monotonic()
    prepare()
    corpus = target.seeds()
    fresh = list(corpus)  # the whole inputs first: they have to be read without a fault
    with tempfile.TemporaryDirectory() as scratch:
        while outcome.inputs < count and time.monotonic() - started < seconds:
            size = min(BATCH, count - outcome.inputs)
            batch = fresh + [mutated(rng, corpus, target.words) for _ in range(size - len(fresh))]
            fresh = []
            done = _in_child(target, batch, Path(scratch))
            outcome.inputs += len(done)
            for data, (kind, fault) in zip(batch, done):
                if fault and kind not in outcome.finds:
                    outcome.finds[kind] = _kept(keep, name, kind, data, fault)
                if kind not in outcome.kinds and not fault and len(corpus) < _CORPUS:
                    corpus.append(data)
                outcome.kinds.add(kind)
    outcome.seconds = time.monotonic() - started
    return outcome


def _in_child(target: Target, batch: list[bytes], scratch: Path) -> list[tuple[str, str]]:
    """What came of each input; the last one is that which killed the child, if one did."""
    log = scratch / "log"
    log.write_text("")
    child = os.fork()
    if not child:
        _quietly(target, batch, scratch, log)
    _, status = os.waitpid(child, 0)
    done = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
    if os.WIFSIGNALED(status) and len(done) < len(batch):
        number = os.WTERMSIG(status)
        kind = "no end" if number == signal.SIGALRM else signal.Signals(number).name
        done.append((kind, f"the process ended by {signal.Signals(number).name}"))
    return done


def _quietly(target: Target, batch: list[bytes], scratch: Path, log: Path) -> None:
    """In the child: never returns."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    warnings.simplefilter("ignore")
    with open(log, "a", buffering=1) as file:
        for data in batch:
            signal.alarm(SECONDS)
            file.write(json.dumps(kind_of(target, data, scratch / "input")) + "\n")
    os._exit(0)


def _kept(keep: Path | None, name: str, kind: str, data: bytes, fault: str) -> str:
    if keep is None:
        return fault
    keep.mkdir(parents=True, exist_ok=True)
    path = keep / (f"{name}-" + re.sub(r"\W+", "_", kind))
    path.write_bytes(data)
    path.with_suffix(".txt").write_text(fault)
    return str(path)
