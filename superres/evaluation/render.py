"""Tables as text: for a terminal, Markdown, LaTeX; and results as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from superres.evaluation.tables import Table, all_tables, entries_of
from superres.output import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

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


def print_table(record: Mapping[str, Any], console: Console) -> None:
    """Print the tables of a record, one per protocol, and what it cost.

    Beneath each stands what its protocol does, and what is missing from it.
    """
    print_tables(all_tables(record), console)


def print_tables(tables: Iterable[Table], console: Console) -> None:
    """Print tables in parts that are narrow enough, so that no number is ever cut off."""
    from rich import box
    from rich.table import Table as RichTable

    for table in tables:
        for part in _parts_that_fit(table, console.width):
            shown = RichTable(box=box.SIMPLE_HEAD, pad_edge=False)
            shown.add_column(_printable(table.header[0]), overflow="fold")
            for column in part:
                title = _printable(table.header[column])
                shown.add_column(title, justify="right", no_wrap=True)
            for row in table.rows:
                shown.add_row(*(_printable(row[column]) for column in (0, *part)))
            console.print(shown, markup=False, highlight=False)
        for note in table.notes:
            console.print(_printable(note), highlight=False, markup=False, soft_wrap=True)


def _printable(text: str) -> Text:
    """Text that neither rich nor the terminal takes for commands."""
    from rich.text import Text

    return Text(printable(text, keep=""))


def _parts_that_fit(table: Table, width: int) -> Iterator[list[int]]:
    """Columns in groups narrow enough; a group that is too wide itself is split."""
    from rich.cells import cell_len

    def room(column: int) -> int:
        return 3 + max(cell_len(row[column]) for row in [table.header, *table.rows])

    left = width - room(0) + 1
    groups: list[list[int]] = []
    column = 1
    for size in table.groups or [1] * (len(table.header) - 1):
        group = list(range(column, column + size))
        column += size
        whole = sum(map(room, group)) <= left
        groups += [group] if whole else [[single] for single in group]
    part: list[int] = []
    for group in groups:
        if part and sum(map(room, [*part, *group])) > left:
            yield part
            part = []
        part += group
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
    for sign in "\\|*_<`[":
        text = text.replace(sign, "\\" + sign)
    return printable(text.replace("\n", " "))


def latex(tables: Sequence[Table]) -> str:
    r"""A ``tabular`` per table, with booktabs' rules; notes as comments and in a small line."""
    lines = ["% \\usepackage{booktabs}"]
    for table in tables:
        lines += ["", f"% {_latex_comment(table.title)}"] if table.title else [""]
        lines.append("\\begin{tabular}{l" + "r" * (len(table.header) - 1) + "}")
        lines += ["\\toprule", _latex_row(table.header), "\\midrule"]
        lines += [_latex_row(row) for row in table.rows]
        lines += ["\\bottomrule", "\\end{tabular}"]
        lines += [f"% {_latex_comment(note)}" for note in table.notes]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def latex_text(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(_LATEX.get(sign, sign) for sign in printable(text.replace("\n", " ")))


def _latex_comment(text: str) -> str:
    return printable(" ".join(text.split()))


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
        images, published = entry.get("images", ()), entry.get("published") or {}
        line = {
            **entry,
            "psnr": entry.get("psnr_note", entry["psnr"]),
            "images": len(images),
            "not_scored": sum(i["psnr"] is None and i.get("psnr_note") != "inf" for i in images),
            "published_source": published.get("source"),
            "notes": "; ".join(entry.get("notes", ())),
        }
        for of, scores in (("published", published), ("difference", published.get("difference"))):
            line |= {f"{of}_{key}": (scores or {}).get(key) for key in ("psnr", "ssim")}
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
    return ("'" if value[:1] in ("=", "+", "-", "@") and value[1:] else "") + printable(value)


def result_files(record: Mapping[str, Any]) -> dict[str, str]:
    """The texts of ``results.md``, ``results.csv`` and ``results.tex``."""
    tables = all_tables(record)
    return {
        "results.md": markdown(tables),
        "results.csv": csv_text(entries_of(record), metrics=record.get("metrics") or ()),
        "results.tex": latex(tables),
    }
