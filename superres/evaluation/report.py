"""``report.html``: the tables, and every result to look at, in one file without network access."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superres.evaluation.curves import Series, line_chart
from superres.evaluation.embedding import LABELS
from superres.evaluation.tables import all_tables, entries_of

TEMPLATES = Path(__file__).with_name("templates")


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

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns, rows = _score_table(record)
    methods = dict.fromkeys(entry["method"] for entry in record["results"])
    sets = dict.fromkeys(f"{entry['set']} x{entry['scale']}" for entry in record["results"])
    shots = []
    for number, (_, shot) in enumerate(sorted(album, key=lambda part: part[0])):
        scores = [r for r in rows if r["key"] == (shot["set"], shot["scale"], shot["name"])]
        for row in scores:
            row["shot"] = number
        told = filter(None, [*(row["summary"] for row in scores), shot["text"]])
        shots.append({**shot, "text": " · ".join(told)})
    count = len({row["key"] for row in rows})
    few = f"{len(shots)} of {count} pictures are in this report."
    return environment.get_template("report.html").render(
        title=f"{', '.join(methods)} on {', '.join(sets)}",
        facts=_facts(record),
        tables=all_tables(record),
        shots=shots,
        data={"shots": shots, "labels": LABELS, "order": list(LABELS)},
        picture_note=few if len(shots) < count else "",
        score_columns=columns,
        score_rows=rows,
        errors=_errors(record),
        curves=[Markup(line_chart(title, of)) for title, of in (curves or {}).items()],
    )


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    checkpoint, network = (record.get(key) or {} for key in ("checkpoint", "network"))
    facts = {
        "checkpoint": checkpoint.get("path"),
        "SHA-256": checkpoint.get("sha256"),
        "network": network.get("type"),
        "iteration": record.get("iter"),
        "SR pictures": record.get("sr_dir"),
        "HR pictures": record.get("hr_dir"),
        "inference": ", ".join(f"{k} {v}" for k, v in (record.get("inference") or {}).items()),
        **{key: record.get(key) for key in ("config", "parameters", "device")},
    }
    return [(key, str(value)) for key, value in facts.items() if value not in (None, "")]


def _score_table(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns, and one row per image and protocol: its cells, its key and a line about it."""
    metrics = record.get("metrics") or {}
    base = {
        (e["set"], e["scale"], e["protocol"], image["name"]): image["psnr"]
        for e in record.get("baselines", ())
        for image in e["images"]
    }
    titles = [of.get("title", key) for key, of in metrics.items()]
    columns = ["image", "set", "protocol", "PSNR", "SSIM", *["gain"] * bool(base), *titles]
    rows = []
    for entry in record["results"]:
        where, protocol = (entry["set"], entry["scale"]), entry["protocol"]
        for image in entry["images"]:
            name, psnr, ssim = image["name"], image["psnr"], image["ssim"]
            error, why = image.get("error", ""), image.get("metric_errors", {})
            below = base.get((*where, protocol, name))
            gain = None if None in (below, psnr) else psnr - below
            texts = name, f"{where[0]} x{where[1]}", protocol
            cells = [{"text": text, "value": text, "title": ""} for text in texts]
            cells += [_number(psnr, 3, error), _number(ssim, 4, error)]
            cells += [_number(gain, 3, error)] * bool(base)
            cells += [_number(image.get(key), 4, error or why.get(key, "")) for key in metrics]
            cells.append(_number(image.get("seconds"), 3, ""))
            summary = "" if psnr is None else f"{protocol} {psnr:.2f} dB / {cells[4]['text']}"
            rows.append({"key": (*where, name), "cells": cells, "summary": summary, "shot": None})
    return [*columns, "seconds"], rows


def _number(value: float | None, digits: int, error: str) -> dict[str, Any]:
    if value is None:
        return {"text": "-", "value": "", "title": error}
    return {"text": f"{value:.{digits}f}", "value": repr(float(value)), "title": error}


def _errors(record: Mapping[str, Any]) -> list[str]:
    """What was not scored and why, each fault once."""
    lines: dict[str, None] = {}
    for entry in entries_of(record):
        where = f"{entry['set']} x{entry['scale']}"
        faults = [f": {note}" for note in entry.get("notes", ()) if note.startswith("not scored")]
        faults += [f", {i['name']}: {i['error']}" for i in entry["images"] if "error" in i]
        lines |= dict.fromkeys(where + fault for fault in faults)
    return [*lines]
