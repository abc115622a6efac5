"""A chart as a file of its own, for a page that cannot hold SVG."""

from __future__ import annotations

from superres.evaluation.curves import Series, line_chart

_STYLE = (
    "<style>svg{background:#fff;font:12px sans-serif;--c0:#0a58ca;--c1:#d9480f;--c2:#2b8a3e;"
    "--c3:#862e9c;--c4:#0b7285;--c5:#5c5f66}"
    ".axis{stroke:#ddd}.curve{fill:none;stroke-width:1.75}</style>"
)


def chart_file(title: str, series: Series, over: str = "iterations") -> str:
    """`line_chart` as the text of an SVG file."""
    head, tail = str(line_chart(title, series, over)).split(">", 1)
    head = head.replace("<svg ", "<svg xmlns='http://www.w3.org/2000/svg' ")
    return f"{head}>{_STYLE}{tail}\n"
