"""What a run of several processes says when one of them fails, dies or hangs.

The other processes only see that an exchange broke off or took too long. One that fails says so
first, in the store in which they found each other; the rest then end with its code and without a
word. Where none has said so, each that is left prints a line, which the one to blame does not.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from torch import distributed

from superres.errors import UserError

TIMEOUT = "SUPERRES_DIST_TIMEOUT_MINUTES"
GRACE_SECONDS = 8.0
"""Time that a process has to say that it fails, and that the others have to hear of it."""

_BROKEN = (
    *("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe"),
    *("timed out waiting", "barrier timed out", "recvvalue failed", "failed to recv"),
)


class Peers:
    """The processes of a run, as one of them sees the rest.

    Args:
        store: shared by the processes of this attempt; rank 0's own, and ends with it.
        rank: of this process.
        processes: of all ranks, such as ``process 17 on gpu2``.
    """

    def __init__(self, store: Any, rank: int, processes: list[str]) -> None:
        self.store, self.rank, self.processes = store, rank, processes

    def announce(self, error: BaseException, hang_up: Callable[[], None]) -> None:
        """Tell the others that this process ends, and with which code.

        Args:
            error: why.
            hang_up: closes the connections, which wakes the ranks that wait for this one.
        """
        code = "2" if isinstance(error, UserError) else "1"
        for key in ("failed", f"heard/{self.rank}"):
            _within(GRACE_SECONDS, lambda key=key: self.store.set(key, code))
        hang_up()
        others = [f"heard/{r}" for r in range(1, len(self.processes))]
        # Not in a thread: one that comes back from the store while Python ends aborts the process.
        with contextlib.suppress(RuntimeError):
            if self.rank == 0:
                self._wait_for(others, 2 * GRACE_SECONDS)

    def explain(self, error: BaseException) -> tuple[str, int]:
        """What a broken exchange means, and the code to exit with. Takes some seconds.

        The text is empty where another process has told its own story.
        """
        if code := _within(2 * GRACE_SECONDS, self._listen):
            return "", int(code)
        return (
            f"the other ranks are out of reach ({str(error).strip().splitlines()[0][:200]}). A "
            "rank that prints no line like this one has died, hangs or is cut off. Every "
            "checkpoint saved so far is whole, continue with --resume. "
            f"{TIMEOUT} sets how long ranks wait for each other",
            1,
        )

    def _listen(self) -> bytes | None:
        if not self._wait_for(["failed"], GRACE_SECONDS):
            return None
        code = self.store.get("failed")
        self.store.set(f"heard/{self.rank}", "1")
        return code

    def _wait_for(self, keys: list[str], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not (found := self.store.check(keys)) and time.monotonic() < deadline:
            time.sleep(0.1)
        return found


def _within(seconds: float, do: Callable[[], Any]) -> Any:
    """The result of ``do()``, or None if it fails or takes longer: a store may be out of reach."""
    result: list[Any] = []

    def work() -> None:
        with contextlib.suppress(Exception):
            result.append(do())

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)
    return result[0] if result else None


def is_broken_exchange(error: BaseException | None) -> bool:
    """Whether an exception says that an exchange between processes failed."""
    while error is not None:
        known = any(words in str(error).lower() for words in _BROKEN)
        if isinstance(error, distributed.DistError) or (isinstance(error, RuntimeError) and known):
            return True
        error = error.__cause__
    return False
