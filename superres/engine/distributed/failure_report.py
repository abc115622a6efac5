"""What a run of several processes says when one of them fails, dies or hangs.

The other processes only see that an exchange broke off or took too long. To tell which process is
to blame, each has a thread that answers a roll call, through the store in which they found each
other. (torch's ``monitored_barrier`` names a process that hangs, but none that has died.)
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from torch import distributed

from superres.errors import UserError, some

POLL_SECONDS = 1.0
"""Time between two looks at the store for a roll call."""
GRACE_SECONDS = 4.0
"""Time that the others have to answer one."""

_BROKEN = (
    *("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe"),
    *("timed out waiting", "barrier timed out", "recvvalue failed", "failed to recv"),
)


class Peers:
    """The processes of a run, as one of them sees the rest.

    Args:
        store: shared by the processes of this attempt.
        rank: of this process.
        processes: of all ranks, such as ``process 17 on gpu2``.
    """

    def __init__(self, store: Any, rank: int, processes: list[str]) -> None:
        self.store, self.rank, self.processes = store, rank, processes
        self._stop = threading.Event()
        threading.Thread(target=self._answer, daemon=True, name="roll call").start()

    def close(self) -> None:
        """End the thread."""
        self._stop.set()

    def announce(self, error: BaseException) -> None:
        """Tell the others that this process ends, and with which code."""
        code = json.dumps(2 if isinstance(error, UserError) else 1)
        _within(GRACE_SECONDS, lambda: self.store.set(f"failed/{self.rank}", code))
        _within(GRACE_SECONDS, lambda: self.store.set(f"heard/{self.rank}", code))

    def outlast(self) -> None:
        """Wait until the others know: the store may be rank 0's own, and end with it."""
        everyone = [f"heard/{r}" for r in range(len(self.processes))]
        deadline = time.monotonic() + 2 * GRACE_SECONDS
        with contextlib.suppress(RuntimeError):
            while self.rank == 0 and time.monotonic() < deadline and not self.store.check(everyone):
                time.sleep(0.1)

    def explain(self, error: BaseException) -> tuple[str, int]:
        """What a broken exchange means, and the code to exit with. Takes some seconds.

        The text is empty where another process has told its own story, or tells this one.
        """
        heard = _within(2 * GRACE_SECONDS, self._roll_call)
        first = str(error).strip().splitlines()[0][:200]
        if heard is None:
            return (
                f"contact to {self._name(0)} is lost, where the processes meet: the network of "
                f"this machine or of that one is down, or rank 0 has ended ({first}). "
                "Continue with --resume",
                1,
            )
        failures, waiting = heard
        if failures or self.rank != min(waiting):
            return "", max(failures.values(), default=1)
        gone = "gives no answer: it has died, hangs or is cut off"
        lost = [
            f"{self._name(r)} {'hangs' if r in waiting else gone}"
            for r in range(len(self.processes))
            # Those that are inside an exchange are waiting for the ones that are not.
            if not waiting.get(r)
        ]
        return (
            f"the processes have lost each other: {some(lost) or 'all of them still answer'} "
            f"({first}). Every checkpoint saved so far is whole, continue with --resume. "
            "SUPERRES_DIST_TIMEOUT_MINUTES sets how long one waits for the others",
            1,
        )

    def _name(self, rank: int) -> str:
        return f"rank {rank} ({self.processes[rank]})"

    def _roll_call(self) -> tuple[dict[int, int], dict[int, bool]]:
        """By rank: exit codes that were announced, and whether those that answer wait."""
        self.store.set("roll", "1")
        self.store.set(f"answer/{self.rank}", "true")
        failures: dict[int, int] = {}
        answers: dict[int, bool] = {}
        deadline = time.monotonic() + GRACE_SECONDS
        # Even if all have answered: one that fails may be about to say so.
        while time.monotonic() < deadline and not failures:
            for kind, found in (("failed", failures), ("answer", answers)):
                for r in range(len(self.processes)):
                    if r not in found and self.store.check([f"{kind}/{r}"]):
                        found[r] = json.loads(self.store.get(f"{kind}/{r}"))
            time.sleep(0.1)
        self.store.set(f"heard/{self.rank}", "1")
        return failures, answers

    def _answer(self) -> None:
        main = threading.main_thread().ident
        with contextlib.suppress(Exception):  # the store has gone: the run is over
            store = self.store.clone() if hasattr(self.store, "clone") else self.store
            while not self._stop.wait(POLL_SECONDS):
                if store.check(["roll"]):
                    store.set(f"answer/{self.rank}", json.dumps(_waits(main)))
                    return


def _waits(thread: int | None) -> bool:
    """Whether a thread is inside an exchange with other processes."""
    frame = sys._current_frames().get(thread)
    while frame is not None:
        inside = f"{os.sep}torch{os.sep}distributed{os.sep}" in frame.f_code.co_filename
        if inside or frame.f_code.co_name in ("_engine_run_backward", "explain", "announce"):
            return True
        frame = frame.f_back
    return False


def _within(seconds: float, do: Callable[[], Any]) -> Any:
    """The result of ``do()``, or None if it fails or takes longer: a store may be out of reach."""
    result: list[Any] = []

    def run() -> None:
        with contextlib.suppress(Exception):
            result.append(do())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return result[0] if result else None


def is_broken_exchange(error: BaseException | None) -> bool:
    """Whether an exception says that an exchange between processes failed."""
    while error is not None:
        told = any(words in str(error).lower() for words in _BROKEN)
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and told):
            return True
        error = error.__cause__
    return False
