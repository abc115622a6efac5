"""``torchrun``, with the exit code of the process that failed and without its traceback.

torchrun ends with code 1 and a traceback of its own whatever happened. Scripts rely on 2 for a
user's mistake and on 130 and 143 for a saved stop, so the first failure's code is passed on.
"""

from __future__ import annotations

import contextlib
import os
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

    # One store for all restarts (torch 2.13) would keep the addresses of ranks that have gone,
    # which new ones then wait for. Without it each attempt has a port and a store of its own.
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    # Slurm's early notice would kill torchrun; for the ranks it equals SIGTERM.
    if hasattr(signal, "SIGUSR1"):
        signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code < 0:  # a signal that it died of; others have said why they end
            why = ", as the system does when memory runs out" * (code == -signal.SIGKILL)
            how = f"was ended by {failure.signal_name()}{why}"
            print(f"error: rank {rank} (process {failure.pid}) {how}", file=sys.stderr)
        return code if code > 0 else 1
    except RendezvousError as error:
        print(
            "error: not all machines joined in time: does the command run on each with the same "
            "MASTER_ADDR (of NODE_RANK=0), PORT and NNODES, and is PORT free and open there? "
            f"--rdzv-conf=join_timeout=SECONDS sets how long they wait ({error})",
            file=sys.stderr,
        )
        return 2
    except SignalException as error:
        # The ranks have saved and ended; torchrun itself was told to stop.
        return 130 if error.sigval == signal.SIGINT else 143  # as a rank
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
