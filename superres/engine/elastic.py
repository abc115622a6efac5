"""``torchrun``, with the exit code of the process that failed and without its traceback.

torchrun ends with code 1 and a traceback of its own whatever happened. Scripts rely on 2 for a
user's mistake and on 130 and 143 for a saved stop, so the first failure's code is passed on.
"""

from __future__ import annotations

import contextlib
import sys


def main(argv: list[str] | None = None) -> int:
    """Run torchrun with ``argv``; gives the exit code."""
    # mmengine imports yapf, whose first import makes a file that ranks starting at once would
    # find half written.
    with contextlib.suppress(ImportError):
        import yapf  # noqa: F401
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import main as torchrun

    try:
        torchrun(argv)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        code = failure.exitcode
        if code not in (2, 130, 143):
            print(
                f"error: rank {rank} (process {failure.pid}) ended with code {code}; "
                "its own output is above",
                file=sys.stderr,
            )
        # A negative code is a signal that the process died of.
        return code if code > 0 else 128 - code
    except SignalException as error:
        # The ranks have saved and ended; torchrun itself was told to stop.
        return 128 + int(error.sigval)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
