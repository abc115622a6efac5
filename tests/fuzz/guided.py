"""The same targets under atheris, which keeps the inputs that reach new branches of superres."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # atheris has to see superres before it is imported
    from tests.fuzz.engine import Outcome

_EVERY = 100


def available() -> bool:
    """Whether atheris is installed (``pip install atheris``; no requirement of anything here)."""
    return importlib.util.find_spec("atheris") is not None


def guided(name: str, *, seconds: float, seed: int = 0, keep: Path | None = None) -> Outcome:
    """Fuzz a target in processes of atheris; one that dies is a find, and the next goes on."""
    from tests.fuzz.engine import Outcome

    outcome, started = Outcome(name, seed), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        attempt = 0
        while (left := seconds - (time.monotonic() - started)) > 5:
            report = root / f"report{attempt}.json"
            arguments = [name, str(root), str(report), str(int(left)), str(seed + attempt)]
            done = subprocess.run(
                [sys.executable, "-m", "tests.fuzz.guided", *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                check=False,
            )
            _take(outcome, report, done.stderr.decode("utf-8", "replace"), root, keep)
            attempt += 1
    outcome.seconds = time.monotonic() - started
    return outcome


def _take(outcome: Outcome, report: Path, said: str, root: Path, keep: Path | None) -> None:
    from tests.fuzz.engine import _kept

    if report.exists():
        told = json.loads(report.read_text())
        outcome.inputs += told["inputs"]
        outcome.kinds |= set(told["kinds"])
        for kind, (data, fault) in told["finds"].items():
            if kind not in outcome.finds:
                place = _kept(keep, outcome.target, kind, bytes.fromhex(data), fault)
                outcome.finds[kind] = place
    covered = [int(n) for n in re.findall(r"cov: (\d+)", said)]
    outcome.coverage = max([outcome.coverage or 0, *covered])
    for path in [*root.glob("crash-*"), *root.glob("timeout-*"), *root.glob("oom-*")]:
        kind = path.name.partition("-")[0]
        last = said.strip().splitlines()[-30:]
        if kind not in outcome.finds:
            outcome.finds[kind] = _kept(
                keep, outcome.target, kind, path.read_bytes(), "\n".join(last)
            )
        path.unlink()


def _child(name: str, scratch: str, report: str, seconds: str, seed: str) -> None:
    import atheris

    with atheris.instrument_imports(include=["superres"]):
        from tests.fuzz import engine, targets

    targets.prepare()
    target, root = targets.TARGETS[name], Path(scratch)
    corpus = root / "corpus"
    corpus.mkdir(exist_ok=True)
    for i, data in enumerate(target.seeds()):
        (corpus / f"seed{i}").write_bytes(data)
    told: dict = {"inputs": 0, "kinds": [], "finds": {}}
    kinds: set[str] = set()

    def one(data: bytes) -> None:
        told["inputs"] += 1
        kind, fault = engine.kind_of(target, data, root / "input")
        if fault and kind not in told["finds"]:
            told["finds"][kind] = (data.hex(), fault)
        fresh = kind not in kinds
        kinds.add(kind)
        if fresh or told["inputs"] % _EVERY == 0:  # the library ends the process by itself
            Path(report).write_text(json.dumps({**told, "kinds": sorted(kinds)}))

    flags = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={engine.SECONDS}"]
    flags += [f"-artifact_prefix={root}/", "-rss_limit_mb=3000", "-max_len=100000", "-verbosity=1"]
    atheris.Setup([sys.argv[0], *flags, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    _child(*sys.argv[1:])
