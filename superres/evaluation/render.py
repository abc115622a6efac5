"""Tables as text: for a terminal, Markdown, LaTeX; and results as CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


def _parts_that_fit(table: Table, width: int) -> Iterator[list[int]]:
    """Columns in groups narrow enough; a group that is too wide itself is split."""
    from rich.cells import cell_len

    rows = [table.header, *table.rows]
    room = [3 + max(map(cell_len, column)) for column in zip(*rows)]
    left = width - room[0] + 1
    columns = iter(range(1, len(room)))
    part: list[int] = []
    for size in table.groups or [1] * (len(room) - 1):
        group = [next(columns) for _ in range(size)]
        whole = sum(room[column] for column in group) <= left
        for together in [group] if whole else [[column] for column in group]:
            if part and sum(room[column] for column in [*part, *together]) > left:
                yield part
                part = []
            part += together
    yield part


def markdown(tables: Sequence[Table]) -> str:
    """GitHub's pipe tables, each with its title and notes."""
    lines = []
    for table in tables:
        lines += [f"### {_pipes(table.title)}", ""] if table.title else []
        lines.append("| " + " | ".join(map(_pipes, table.header)) + " |")
        lines.append("|---|" + "---:|" * (len(table.header) - 1))
        lines += ["| " + " | ".join(map(_pipes, row)) + " |" for row in table.rows]
        lines += ["", *(f"- {_pipes(note.strip())}" for note in table.notes), ""]
    return "\n".join(lines)


def _pipes(text: str) -> str:
    """Text that Markdown leaves as it is. A name of a picture is nobody's markup."""
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
    *("difference_ssim", "published_source", "notes", "psnr_low", "psnr_high", "ssim_low"),
    "ssim_high",
)


def csv_text(
    entries: Iterable[Mapping[str, Any]],
    differences: Iterable[Mapping[str, Any]] = (),
    pair: Sequence[str] | None = None,
    metrics: Iterable[str] = (),
) -> str:
    """One line per method, set, scale and protocol; numbers unrounded, nothing where unknown.

    Args:
        differences: of ``merge.compare`` between the methods of ``pair``: lines of their own,
            with the bounds of the confidence interval in the last columns.
        metrics: optional metrics, each a column at the end.
    """
    lines = []
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
        lines.append(line)
    for difference in differences:
        line = {**difference, "method": " - ".join(pair or ())}
        for key in ("psnr", "ssim"):
            if (interval := line.pop(key)) is not None:
                line |= {key: interval.mean, "images": interval.count}
                line |= {f"{key}_low": interval.low, f"{key}_high": interval.high}
        lines.append(line)
    out = io.StringIO()
    columns = [*CSV_COLUMNS, *metrics]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _harmless(value) for key, value in line.items()} for line in lines)
    return out.getvalue()


def _harmless(value: Any) -> Any:
    """Text that neither a spreadsheet takes for a formula nor a terminal for a command."""
    if not isinstance(value, str):
        return value
    return "'" * (len(value) > 1 and value[0] in "=+-@") + printable(value)
