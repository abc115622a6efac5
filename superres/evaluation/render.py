"""Tables as text: for a terminal, Markdown, LaTeX; and results as CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from superres.evaluation.tables import Table
from superres.output import printable

_LATEX = {
    "\\": r"\textbackslash{}",
    **{c: "\\" + c for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "[": "{[}",  # else an argument of the row's end before it
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def print_tables(
    tables: Iterable[Table], file: TextIO | None = None, width: int | None = None
) -> None:
    """Print tables in parts that are narrow enough, so that no number is ever cut off.

    Args:
        file: default: standard output.
        width: default: a terminal's own, elsewhere 160 columns.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    def plain(text: str) -> Text:
        """Text that neither rich nor the terminal takes for commands."""
        return Text(printable(text, keep=""))

    file = file or sys.stdout
    console = Console(file=file, width=width or (None if file.isatty() else 160))
    for table in tables:
        for part in _parts_that_fit(table, console.width):
            shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
            shown.add_column(plain(table.header[0]), overflow="fold")
            for column in part:
                shown.add_column(plain(table.header[column]), justify="right", no_wrap=True)
            for row in table.rows:
                shown.add_row(*(plain(row[column]) for column in (0, *part)))
            console.print(shown, markup=False, highlight=False)
        for note in table.notes:
            console.print(plain(note), highlight=False, markup=False, soft_wrap=True)


def _parts_that_fit(table: Table, width: int) -> list[list[int]]:
    """Columns in parts narrow enough; a group that is too wide itself is split."""
    from rich.cells import cell_len

    room = [3 + max(map(cell_len, column)) for column in zip(table.header, *table.rows)]
    columns = iter(range(1, len(room)))
    groups = [[next(columns) for _ in range(n)] for n in table.groups or [1] * (len(room) - 1)]
    parts: list[list[int]] = [[]]
    for group in groups:
        fits = sum(room[column] for column in (0, *group)) <= width + 1
        for together in [group] if fits else [[column] for column in group]:
            if sum(room[column] for column in (0, *parts[-1], *together)) > width + 1:
                parts.append([])
            parts[-1] += together
    return [part for part in parts if part]


def markdown(tables: Sequence[Table]) -> str:
    """GitHub's pipe tables, each with its title and notes."""
    lines = []
    for table in tables:
        lines += [f"### {_pipes(table.title)}", ""] if table.title else []
        head, *rows = (f"| {' | '.join(map(_pipes, row))} |" for row in (table.header, *table.rows))
        lines += [head, "|---|" + "---:|" * (len(table.header) - 1), *rows]
        lines += ["", *(f"- {_pipes(note.strip())}" for note in table.notes), ""]
    return "\n".join(lines)


def _pipes(text: str) -> str:
    """Text that Markdown leaves as it is. A name of an image is nobody's markup."""
    return printable("".join("\\" * (c in "\\|*_<`[") + c for c in text.replace("\n", " ")))


def latex(tables: Sequence[Table]) -> str:
    r"""A ``tabular`` per table, with booktabs' rules; notes as comments and in a small line."""
    lines = ["% \\usepackage{booktabs}"]
    for table in tables:
        head, *rows = (
            " & ".join(map(latex_text, cells)) + r" \\" for cells in (table.header, *table.rows)
        )
        title, *notes = (
            f"% {printable(' '.join(text.split()))}" for text in (table.title, *table.notes)
        )
        lines += ["", title, "\\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}"]
        lines += ["\\toprule", head, "\\midrule", *rows, "\\bottomrule", "\\end{tabular}", *notes]
    return "\n".join(lines) + "\n"


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text.replace("\n", " ")))


CSV_COLUMNS = (
    *("method", "set", "scale", "protocol", "psnr", "ssim", "psnr_std", "ssim_std", "runs"),
    *("images", "not_scored", "published_psnr", "published_ssim", "difference_psnr"),
    *("difference_ssim", "published_source", "notes"),
)


def csv_text(entries: Iterable[Mapping[str, Any]], metrics: Iterable[str] = ()) -> str:
    """One line per method, set, scale and protocol; numbers unrounded, nothing where unknown.

    ``metrics``: further ones, each a column at the end.
    """
    out = io.StringIO()
    columns = [*CSV_COLUMNS, *metrics]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for entry in entries:
        published = entry.get("published") or {}
        scores = {"published": published, "difference": published.get("difference") or {}}
        line = {
            **entry,
            "images": len(entry["images"]),
            "not_scored": sum(image["psnr"] is None for image in entry["images"]),
            "published_source": published.get("source"),
            "notes": "; ".join(entry.get("notes", ())),
            **{f"{of}_{k}": known.get(k) for of, known in scores.items() for k in ("psnr", "ssim")},
        }
        writer.writerow({key: _harmless(value) for key, value in line.items()})
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """Text that neither a spreadsheet takes for a formula nor a terminal for a command."""
    if not isinstance(value, str):
        return value
    return "'" * (len(value) > 1 and value[0] in "=+-@") + printable(value)
