"""What `superres data` prints of its reports."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from superres.output import printable

_SHOWN = 30


def _console() -> Console:
    """As wide as the terminal; wide enough for every table in a file or a pipe."""
    return Console(soft_wrap=True, width=None if sys.stdout.isatty() else 140)


def _text(text: object) -> Text:
    """A name of a folder or an image, which neither rich nor the terminal takes for commands."""
    return Text(printable(str(text), keep=""))


def print_verification(record: dict[str, Any]) -> None:
    """The sides of all sets in a table, then the problems, at most a few dozen of each kind."""
    console = _console()
    table = Table(title=_text(record["dir"]), title_justify="left")
    for column in ("set", "side", "images", "bicubic of HR", "errors"):
        table.add_column(column, justify="right" if column in ("images", "errors") else "left")
    for one in record["sets"]:
        errors = sum(p["severity"] == "error" for p in one["problems"])
        errors -= sum(side["errors"] for side in one["sides"])
        table.add_row(_text(one["name"]), "HR", str(one["count"]), "", str(errors))
        for side in one["sides"]:
            name, errors = f"LR_{side['degradation']} X{side['scale']}", str(side["errors"])
            table.add_row("", _text(name), str(side["count"]), _verdicts(side), errors)
    console.print(table)
    for severity in ("note", "error"):
        found = [p for one in record["sets"] for p in one["problems"] if p["severity"] == severity]
        for problem in found[:_SHOWN]:
            text = "{severity}: {fault}: {file}: {message}".format_map(problem)
            print(printable(text, keep=""))
        if len(found) > _SHOWN:
            print(f"... and {len(found) - _SHOWN} more {severity}s (--json lists all)")
    print("verified: no errors" if record["ok"] else f"verified: {record['errors']} errors")


def _verdicts(side: dict[str, Any]) -> str:
    text = ", ".join(f"{count} {kind}" for kind, count in sorted(side["verdicts"].items()))
    names = ", ".join(sorted(side["conventions"]))
    return f"{text} ({names})" if names else text or "not judged"


def print_fingerprint(record: dict[str, Any]) -> None:
    """The conventions, the nearest first, and the verdict."""
    table = Table(title=_text(f"{record['lq']} x{record['scale']}"), title_justify="left")
    for column in ("convention", "what it is"):
        table.add_column(column)
    for column in ("differing samples", "share", "max", "exact images"):
        table.add_column(column, justify="right")
    for row in record["conventions"]:
        counts = str(row["differing"]), f"{row['share']:.2%}", str(row["max"])
        exact = f"{row['exact']}/{row['pictures']}"
        table.add_row(row["name"], row["description"], *counts, exact)
    _console().print(table)
    nearest = record["conventions"][0]
    if record["verdict"]:
        print(f"made by: {' = '.join(record['verdict'])}")
    elif any(image["exact"] for image in record["pictures"]):
        names = {name for image in record["pictures"] for name in image["exact"][:1]}
        print(f"a mixture: single images follow {', '.join(sorted(names))}")
    else:
        print(
            f"no known convention; the nearest is {nearest['name']} "
            f"({nearest['differing']} of {record['samples']} samples differ, by up to "
            f"{nearest['max']})"
        )
