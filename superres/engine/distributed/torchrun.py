"""``torchrun``, with the exit code of the process that failed and without its traceback.

torchrun ends with code 1 and a traceback of its own whatever happened. Scripts rely on 2 for a
user's mistake and on 130 and 143 for a saved stop, so the first failure's code is passed on.
"""

from __future__ import annotations

import contextlib
import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run torchrun with ``argv``; gives the exit code."""
    # mmengine imports yapf, whose first import makes a file that ranks starting at once would
    # find half written.
    with contextlib.suppress(ImportError):
        import yapf  # noqa: F401
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import (
        RendezvousConnectionError,
        RendezvousTimeoutError,
    )
    from torch.distributed.run import main as torchrun

    argv = sys.argv[1:] if argv is None else argv
    # Slurm's early notice, of which torchrun would die; to the ranks it is as SIGTERM.
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code not in (2, 130, 143):
            print(
                f"error: rank {rank} (process {failure.pid}) {_ended(code)}",
                file=sys.stderr,
            )
        # A negative code is a signal that the process died of.
        return code if code > 0 else 128 - code
    except RendezvousConnectionError as error:
        print(f"error: {_no_meeting(argv, error)}", file=sys.stderr)
        return 2
    except RendezvousTimeoutError:
        print(
            "error: not all machines have come to the meeting place in time: is the command "
            "running on each, with the same MASTER_ADDR, PORT and NNODES? --rdzv-conf "
            "join_timeout=SECONDS sets how long one waits",
            file=sys.stderr,
        )
        return 2
    except SignalException as error:
        # The ranks have saved and ended; torchrun itself was told to stop.
        number = signal.SIGTERM if error.sigval == signal.SIGHUP else error.sigval  # as in a rank
        return 128 + int(number)
    except KeyboardInterrupt:
        return 130
    return 0


def _ended(code: int) -> str:
    """How a rank ended; a negative code is a signal that it died of."""
    if code >= 0:
        return f"ended with code {code}; its own output is above"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    why = ", as the system does when memory runs out" if name == "SIGKILL" else ""
    return f"was ended by {name}{why}"


def _no_meeting(argv: list[str], error: BaseException) -> str:
    """Why the machines cannot meet at the endpoint."""
    flag = "--rdzv-endpoint="
    place = next((a.removeprefix(flag) for a in argv if a.startswith(flag)), "the endpoint")
    causes = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    if any("EADDRINUSE" in text or "already in use" in text for text in causes):
        return (
            f"the port of {place} is in use on this machine; set PORT to a free one (on all "
            "machines; with one machine leave PORT out, and a free one is taken)"
        )
    return (
        f"cannot reach {place}, where the machines meet: is the command running on the first "
        "machine (NODE_RANK=0), is MASTER_ADDR its address, and does no firewall keep PORT closed?"
    )


if __name__ == "__main__":
    sys.exit(main())
