"""For the site: examples in docstrings (``>>> ...``) become code blocks, and roles plain code."""

from __future__ import annotations

import re
from typing import Any

import griffe

_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n\1(?!\s*$).*)*", re.M)
_ROLE = re.compile(r":(?:func|class|meth|mod|attr):(?=`)")
_DIRECTIVE = re.compile(r"  # doctest: \S+")


class Doctests(griffe.Extension):
    """Changes docstrings before they are parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute."""
        if obj.docstring is None:
            return
        text = _ROLE.sub("", obj.docstring.value)
        if ">>> " in text:
            text = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.M)
            text = _EXAMPLE.sub(_fenced, text)
        obj.docstring.value = text


def _fenced(match: re.Match[str]) -> str:
    indent, code = match[1], _DIRECTIVE.sub("", match[0])
    return f"{indent}```pycon\n{code}\n{indent}```"
