"""The one exception class for a user's mistake."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right: a wrong path, a broken file, a misspelt option.

    The message says what is wrong, where (file, key, size) and what to do. Commands print it as
    one message without a traceback and exit with code 2. A fault of the program itself must not
    be raised as this class.
    """


class ScaleNeeded(UserError):
    """The scale is not known: a file or a name fits several, and none was given."""


def did_you_mean(word: object, known: Iterable[object], cutoff: float = 0.5) -> str:
    """``'; did you mean a or b?'`` for what is near a misspelt word; empty where nothing is."""
    near = difflib.get_close_matches(str(word), [str(k) for k in known], n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(near)}?" if near else ""


def some(names: Iterable[object], count: int = 8) -> str:
    """``'a, b and 3 more'``: a few names and how many more there are."""
    names = list(map(str, names))
    return ", ".join(names[:count]) + (f" and {len(names) - count} more" if names[count:] else "")


def from_worker(error: BaseException) -> BaseException:
    """The user's mistake inside an error that a data-loader worker sent, else the error itself.

    torch re-raises a worker's exception with the worker's whole traceback as its message.
    """
    text = str(error)
    _, marker, told = text.rpartition("superres.errors.UserError: ")
    if isinstance(error, UserError) and marker:
        return UserError(told.strip())
    died = "DataLoader worker" in text and ("killed" in text or "exited unexpectedly" in text)
    # Its connection breaks where it dies while it hands a batch over.
    if (isinstance(error, RuntimeError) and died) or isinstance(error, ConnectionError | EOFError):
        return UserError(
            f"a data-loader worker died: {(text or 'its connection broke').splitlines()[0]}. If "
            "the machine ran out of memory lower num_workers or train_dataloader.prefetch_factor; "
            "every checkpoint saved so far is whole, continue with --resume"
        )
    return error
