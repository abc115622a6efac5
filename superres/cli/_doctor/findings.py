"""What the probes found: facts by section, problems with their remedy, notes; no private names."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Findings:
    """Collected facts.

    Attributes:
        sections: title -> {name: value}, in the order of the probes.
        problems: ``{"what", "do"}``: something is broken.
        notes: sentences on what works, but not as well as it could.
        broken: modules that cannot be imported; no probe tries them again.
        listener: told of each event ``(kind, ...)`` as it is found.
    """

    sections: dict[str, dict[str, str]] = field(default_factory=dict)
    problems: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    listener: Callable[[list[str]], object] | None = None

    def fact(self, section: str, name: str, value: object) -> None:
        """One line of a section."""
        self._event(["fact", section, name, private(str(value))])

    def problem(self, what: str, do: str) -> None:
        """Something is broken: ``what``, and what to ``do`` about it."""
        self._event(["problem", private(what), private(do)])

    def note(self, text: str) -> None:
        """Something to know that is no fault."""
        self._event(["note", private(text)])

    def begin(self, kind: str, name: str) -> None:
        """A ``probe``, or the import of a ``package``, begins: told if the process dies in it."""
        self._event(["begin", kind, name])

    def take(self, event: list[str]) -> None:
        """Add an event of another process."""
        kind, *rest = event
        if kind == "fact":
            self.sections.setdefault(rest[0], {})[rest[1]] = rest[2]
        elif kind == "problem" and not any(p["what"] == rest[0] for p in self.problems):
            self.problems.append({"what": rest[0], "do": rest[1]})
        elif kind == "note" and rest[0] not in self.notes:
            self.notes.append(rest[0])

    def _event(self, event: list[str]) -> None:
        self.take(event)
        if self.listener:
            self.listener(event)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "schema": 1,
            "command": "doctor",
            "ok": not self.problems,
            "sections": self.sections,
            "problems": self.problems,
            "notes": self.notes,
        }

    def as_text(self) -> str:
        """Ready to paste into an issue: plain lines, no colours."""
        lines: list[str] = []
        for title, facts in self.sections.items():
            width = max(len(name) for name in facts)
            lines += [
                f"{title}:",
                *(f"  {name:<{width}}  {value}" for name, value in facts.items()),
            ]
            lines.append("")
        for note in self.notes:
            lines.append(f"note: {note}")
        for number, problem in enumerate(self.problems, 1):
            lines += [f"problem {number}: {problem['what']}", f"  what to do: {problem['do']}"]
        if not self.problems:
            lines.append("all fine")
        return "\n".join(lines)


def private(text: str) -> str:
    """``text`` as one or more printable lines, the home folder as ~, the user's name as USER."""
    text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    for home in sorted(_homes(), key=len, reverse=True):
        text = re.sub(re.escape(home) + r"(?![\w.-])", "~", text)
    names = _names()
    if not names:
        return text
    name = re.compile(r"(?<![A-Za-z0-9])(" + "|".join(map(re.escape, names)) + r")(?![A-Za-z0-9])")
    # Only within paths: a name such as "torch" is a word elsewhere.
    return re.sub(r"[^\s'\"]*[/\\][^\s'\"]*", lambda path: name.sub("USER", path[0]), text)


def _homes() -> set[str]:
    found = {os.environ.get("HOME", ""), os.environ.get("USERPROFILE", "")}
    with contextlib.suppress(RuntimeError):  # no home
        found.add(str(Path.home()))
    found |= {os.path.realpath(home) for home in found if home}
    return {home.rstrip("/\\") for home in found if len(home.rstrip("/\\")) > 1}


def _names() -> list[str]:
    names = {os.environ.get(key, "") for key in ("USER", "LOGNAME", "USERNAME", "SUDO_USER")}
    with contextlib.suppress(OSError, KeyError):  # nobody by this number
        names.add(getpass.getuser())
    names |= {os.path.basename(home) for home in _homes()}
    return sorted((n for n in names - {"", "root", "home"} if len(n) > 1), key=len, reverse=True)
