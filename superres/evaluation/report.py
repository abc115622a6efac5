"""``report.html``: the tables, and every result to look at, in one file without network access."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superres.evaluation.curves import Series, line_chart
from superres.evaluation.embedding import LABELS
from superres.evaluation.tables import all_tables


def render_report(
    record: Mapping[str, Any],
    album: Iterable[tuple[int, Mapping[str, Any]]],
    curves: Mapping[str, Series] | None = None,
) -> str:
    """The report as HTML.

    Args:
        record: as results.json holds it.
        album: :attr:`superres.evaluation.embedding.Album.shots`, of all processes.
        curves: of the training, see :func:`superres.evaluation.curves.read_curves`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    shots = [{**shot} for _, shot in sorted(album, key=lambda part: part[0])]
    columns, rows = _scores(record, shots)
    methods = dict.fromkeys(entry["method"] for entry in record["results"])
    sets = dict.fromkeys(f"{entry['set']} x{entry['scale']}" for entry in record["results"])
    count = len({(e["set"], e["scale"], i["name"]) for e in record["results"] for i in e["images"]})
    return environment.get_template("report.html").render(
        title=f"{', '.join(methods)} on {', '.join(sets)}",
        facts=_facts(record),
        tables=all_tables(record),
        data={"shots": shots, "labels": LABELS, "order": [*LABELS]},
        picture_note=f"{len(shots)} of {count} pictures are in this report.",
        score_columns=columns,
        score_rows=rows,
        curves=[Markup(line_chart(title, of)) for title, of in (curves or {}).items()],
    )


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    checkpoint = record.get("checkpoint") or {}
    facts = {"checkpoint": checkpoint.get("path"), "SHA-256": checkpoint.get("sha256")}
    facts |= {key: record.get(key) for key in ("config", "iter", "parameters", "device")}
    facts |= {"SR pictures": record.get("sr_dir"), "HR pictures": record.get("hr_dir")}
    facts |= record.get("inference") or {}
    return [(key, str(value)) for key, value in facts.items() if value not in (None, "")]


def _scores(
    record: Mapping[str, Any], shots: list[dict[str, Any]]
) -> tuple[list[str], list[tuple[int | str, list[str]]]]:
    """Columns, and a row per image and protocol: the number of its shot, and texts.

    The scores are also put into the ``text`` of each shot.
    """
    metrics = record.get("metrics") or {}
    numbers = {(s["set"], s["scale"], s["name"]): number for number, s in enumerate(shots)}
    base = {
        (e["set"], e["scale"], e["protocol"], image["name"]): image["psnr"]
        for e in record.get("baselines", ())
        for image in e["images"]
    }
    titles = [of.get("title", key) for key, of in metrics.items()]
    columns = ["image", "set", "protocol", "PSNR", "SSIM", *["gain"] * bool(base), *titles]
    rows: list[tuple[int | str, list[str]]] = []
    for entry in record["results"]:
        name, scale, protocol = entry["set"], entry["scale"], entry["protocol"]
        for image in entry["images"]:
            psnr, below = image["psnr"], base.get((name, scale, protocol, image["name"]))
            gain = None if None in (below, psnr) else psnr - below
            scores = [(psnr, 3), (image["ssim"], 4), *[(gain, 3)] * bool(base)]
            scores += [(image.get(key), 4) for key in metrics]
            texts = [
                "-" if value is None else f"{value:.{digits}f}"
                for value, digits in (*scores, (image.get("seconds"), 3))
            ]
            number = numbers.get((name, scale, image["name"]), "")
            if psnr is None:
                texts[0] = f"not scored: {image.get('error', '')}"
            elif number != "":
                told = f"{protocol} {psnr:.2f} dB / {texts[1]}"
                shots[number]["text"] = f"{shots[number]['text']} · {told}".removeprefix(" · ")
            rows.append((number, [image["name"], f"{name} x{scale}", protocol, *texts]))
    return [*columns, "seconds"], rows
