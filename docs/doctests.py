"""For the site: examples in docstrings (``>>> ...``) become code blocks, not quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?!\s*$).*)*", re.M)
_DIRECTIVE = re.compile(r"  # doctest: \S+")


class Doctests(griffe.Extension):
    """Puts a fence around each example, before the docstring is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is not None and ">>> " in obj.docstring.value:
            text = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)
            obj.docstring.value = _EXAMPLE.sub(_fenced, text)


def _fenced(match: re.Match[str]) -> str:
    indent, code = match[1], _DIRECTIVE.sub("", match[0])
    return f"{indent}```pycon\n{code}\n{indent}```"
