"""The one exception class for a user's mistake."""

from __future__ import annotations


class UserError(Exception):
    """Something the user can put right: a wrong path, a broken file, a misspelt option.

    The message says what is wrong, where (file, key, size) and what to do. Commands print it as
    one message without a traceback and exit with code 2. A fault of the program itself must not
    be raised as this class.
    """
