"""What a run of several processes says when one of them fails, dies or hangs.

The other processes only see that an exchange broke off or took too long. To tell which process is
to blame, and where it stands, every process has a thread that answers a roll call: it says where
in the program its main thread is. The calls go through the store in which the processes found
each other. No clock of one machine is ever compared with another's.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

from torch import distributed

from superres.errors import UserError

POLL_SECONDS = 1.0
"""Time between two looks at the store for a roll call."""
GRACE_SECONDS = 4.0
"""Time that the others have to answer one."""

_BROKEN = (
    "gloo",
    "nccl",
    "connection closed by peer",
    "connection reset by peer",
    "broken pipe",
    "timed out waiting",
    "barrier timed out",
    "recvvalue failed",
    "failed to recv",
)


@dataclass(frozen=True)
class Fault:
    """What another process is to blame for.

    Attributes:
        text: which one, and what to do; empty where another process says the same.
        code: to exit with.
    """

    text: str
    code: int


@dataclass(frozen=True)
class Process:
    """One of the run's processes: its machine and number there."""

    host: str
    pid: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Peers:
    """The processes of a run, as one of them sees the rest.

    Args:
        store: shared by the processes of this attempt.
        rank: of this process.
        processes: of all ranks.
    """

    def __init__(self, store: Any, rank: int, processes: list[Process]) -> None:
        self.store, self.rank, self.processes = store, rank, processes
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True, name="roll call")
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def announce(self, error: BaseException) -> None:
        """Tell the others that this process ends, and why."""
        known = isinstance(error, UserError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        note = {"text": text, "code": 2 if known else 1}
        _within(GRACE_SECONDS, lambda: self.store.set(f"failed/{self.rank}", json.dumps(note)))

    def explain(self, error: BaseException) -> Fault:
        """What a broken exchange means. Takes some seconds."""
        heard = _within(2 * GRACE_SECONDS, self._roll_call)
        first = str(error).strip().splitlines()[0][:200]
        if heard is None:
            return Fault(
                f"contact to {self._name(0)} is lost, where the processes meet: the network of "
                f"this machine or of that one is down, or rank 0 has ended ({first}). "
                "Continue with --resume",
                1,
            )
        failures, places = heard
        if failures:  # that process has told its own story
            return Fault("", max(note["code"] for note in failures.values()))
        missing = [r for r in range(len(self.processes)) if r not in places]
        if self.rank != min(places):
            return Fault("", 1)
        # Those that are inside an exchange are waiting for the ones that are not.
        slow = [r for r, place in places.items() if not place["waiting"]]
        told = [f"{self._name(r)} gives no answer: it has died, hangs or is cut off"
                for r in missing]  # fmt: skip
        told += [f"{self._name(r)} hangs in {places[r]['place']}" for r in slow]
        what = "; ".join(told[:8]) + (f" and {len(told) - 8} more" if told[8:] else "")
        return Fault(
            f"the processes have lost each other: {what or 'all of them still answer'} ({first}). "
            "Every checkpoint saved so far is whole, continue with --resume. "
            "SUPERRES_DIST_TIMEOUT_MINUTES "
            "sets how long one waits for the others",
            1,
        )

    def _name(self, rank: int) -> str:
        return f"rank {rank} ({self.processes[rank]})"

    def _roll_call(self) -> tuple[dict[int, Any], dict[int, Any]]:
        """(announced failures, answers) by rank."""
        self.store.set("roll", "1")
        self.store.set(f"answer/{self.rank}", json.dumps({"place": "", "waiting": True}))
        failures: dict[int, Any] = {}
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            for kind, found in (("failed", failures), ("answer", answers)):
                for r in range(len(self.processes)):
                    if r not in found and self.store.check([f"{kind}/{r}"]):
                        found[r] = json.loads(self.store.get(f"{kind}/{r}"))
            if failures:
                break
            # Even if all have answered: one that fails may be about to say so.
            time.sleep(0.1)
        return failures, answers

    def _answer(self) -> None:
        main = threading.main_thread().ident
        with contextlib.suppress(Exception):  # the store has gone: the run is over
            store = self.store.clone() if hasattr(self.store, "clone") else self.store
            while not self._stop.wait(POLL_SECONDS):
                if store.check(["roll"]):
                    place = where(sys._current_frames().get(main))
                    store.set(f"answer/{self.rank}", json.dumps(place))
                    return


def where(frame: FrameType | None) -> dict[str, Any]:
    """Where a thread is: the innermost line of ours, and whether it waits for other processes."""
    place, waiting = "", False
    here = frame
    while here is not None:
        file = here.f_code.co_filename
        name = here.f_code.co_name
        if f"{os.sep}torch{os.sep}distributed{os.sep}" in file or name in (
            "_engine_run_backward",
            "explain",
            "announce",
        ):
            waiting = True
        if not place and f"{os.sep}superres{os.sep}" in file:
            place = f"{name} ({os.path.basename(file)}, line {here.f_lineno})"
        here = here.f_back
    return {"place": place, "waiting": waiting}


def _within(seconds: float, do: Any) -> Any:
    """The result of ``do()``, or None if it fails or takes longer: a store may be out of reach."""
    result: list[Any] = []

    def run() -> None:
        with contextlib.suppress(Exception):
            result.append(do())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return result[0] if result else None


def is_broken_exchange(error: BaseException) -> bool:
    """Whether an exception says that an exchange between processes failed."""
    kinds = (distributed.DistBackendError, distributed.DistNetworkError, distributed.DistStoreError)
    seen: BaseException | None = error
    while seen is not None:
        text = str(seen).lower()
        if isinstance(seen, kinds) or (
            isinstance(seen, RuntimeError) and any(words in text for words in _BROKEN)
        ):
            return True
        seen = seen.__cause__
    return False
