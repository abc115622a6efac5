"""``torchrun``, with the exit code of the process that failed and without its traceback.

torchrun ends with code 1 and a traceback of its own whatever happened. Scripts rely on 2 for a
user's mistake and on 130 and 143 for a saved stop, so the first failure's code is passed on.
"""

from __future__ import annotations

import contextlib
import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run torchrun with ``argv``; returns the exit code."""
    # mmengine imports yapf, whose first import makes a file that ranks starting at once would
    # find half written.
    with contextlib.suppress(ImportError):
        import yapf  # noqa: F401
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError
    from torch.distributed.run import main as torchrun

    argv = sys.argv[1:] if argv is None else argv
    # Slurm's early notice would kill torchrun; for the ranks it equals SIGTERM.
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code not in (2, 130, 143):
            how = f"ended with code {code}; its own output is above"
            if code < 0:  # a signal that it died of; SIGKILL is the system's when memory runs out
                how = f"was ended by {failure.signal_name()}"
                how += ", as the system does when memory runs out" * (code == -9)
            print(f"error: rank {rank} (process {failure.pid}) {how}", file=sys.stderr)
        return code if code > 0 else 1
    except RendezvousError as error:
        print(f"error: {_rendezvous_error(argv, error)}", file=sys.stderr)
        return 2
    except SignalException as error:
        # The ranks have saved and ended; torchrun itself was told to stop.
        hung_up = error.sigval == getattr(signal, "SIGHUP", None)
        number = signal.SIGTERM if hung_up else error.sigval  # as in a rank
        return 128 + int(number)
    except KeyboardInterrupt:
        return 130
    return 0


def _rendezvous_error(argv: list[str], error: BaseException | None) -> str:
    """Why not all machines joined."""
    flag = "--rdzv-endpoint="
    place = next((a.removeprefix(flag) for a in argv if a.startswith(flag)), "the endpoint")
    first = ""
    while error is not None:
        first, error = str(error).partition("\n")[0][:200], error.__cause__ or error.__context__
    return (
        f"not all machines joined at {place} in time: does the command run on each with the same "
        "MASTER_ADDR (of NODE_RANK=0), PORT and NNODES, and is PORT free and open there? "
        f"--rdzv-conf join_timeout=SECONDS sets how long they wait ({first})"
    )


if __name__ == "__main__":
    sys.exit(main())
