"""``report.html``: the tables, and every result to look at, in one file without network access."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from superres.evaluation.curves import Series, line_chart
from superres.evaluation.embedding import LABELS, TOTAL_BYTES, Shot, embed
from superres.evaluation.tables import all_tables, entries_of

TEMPLATES = Path(__file__).with_name("templates")


def render_report(
    record: Mapping[str, Any],
    shots: Iterable[Shot],
    count: int,
    curves: Mapping[str, Series] | None = None,
    picture_note: str = "",
) -> str:
    """The report as HTML.

    Args:
        record: of results.json.
        shots: the pictures to embed, read one by one.
        count: how many those are: they share the space.
        curves: of the training, see :func:`superres.evaluation.curves.read_curves`.
        picture_note: a sentence about pictures that are not there.
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
    embedded = []
    places = {row["key"]: row for row in rows}
    for shot in shots:
        part = embed(shot, TOTAL_BYTES // max(count, 1))
        row = places.get((shot.set, shot.scale, shot.name))
        if row is not None:
            row["shot"] = len(embedded)
        text = " · ".join(filter(None, [row["summary"] if row else "", part.text]))
        fields = {"set": shot.set, "scale": shot.scale, "name": shot.name, "text": text}
        size = {"layers": part.layers, "width": part.width, "height": part.height}
        embedded.append({**fields, **size})
    own = {
        name: (TEMPLATES / f"report.{name}").read_text(encoding="utf-8") for name in ("css", "js")
    }
    return environment.get_template("report.html").render(
        title=_title(record),
        facts=_facts(record),
        tables=all_tables(record),
        shots=embedded,
        data={"shots": embedded, "labels": LABELS, "order": list(LABELS)},
        picture_note=picture_note,
        score_columns=columns,
        score_rows=rows,
        errors=_errors(record),
        curves=[Markup(line_chart(title, of)) for title, of in (curves or {}).items()],
        details=_details(record),
        # Files of this package, not of the user.
        css=Markup(own["css"]),
        js=Markup(own["js"]),
    )


def _title(record: Mapping[str, Any]) -> str:
    methods = dict.fromkeys(entry["method"] for entry in record["results"])
    sets = dict.fromkeys(f"{e['set']} x{e['scale']}" for e in record["results"])
    return f"{', '.join(methods)} on {', '.join(sets)}"


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    checkpoint = record.get("checkpoint") or {}
    facts = {
        "checkpoint": checkpoint.get("path"),
        "SHA-256": checkpoint.get("sha256"),
        "config": record.get("config"),
        "network": (record.get("network") or {}).get("type"),
        "iteration": record.get("iter"),
        "parameters": f"{record['parameters']:,}" if record.get("parameters") else None,
        "SR pictures": record.get("sr_dir"),
        "HR pictures": record.get("hr_dir"),
        "device": record.get("device"),
        "inference": ", ".join(f"{k} {v}" for k, v in (record.get("inference") or {}).items()),
    }
    return [(key, str(value)) for key, value in facts.items() if value not in (None, "")]


def _details(record: Mapping[str, Any]) -> str:
    left_out = ("results", "baselines", "runtime", "costs")
    kept = {key: value for key, value in record.items() if key not in left_out}
    return json.dumps(kept, indent=2)


def _score_table(record: Mapping[str, Any]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns, and one row per image: its cells, its key and a line about it."""
    protocols = list(dict.fromkeys(entry["protocol"] for entry in record["results"]))
    metrics = record.get("metrics") or {}
    baselines = {
        (e["set"], e["scale"], e["protocol"], image["name"]): image["psnr"]
        for e in record.get("baselines", ())
        for image in e["images"]
    }
    columns = ["image", "set"]
    for protocol in protocols:
        behind = f" {protocol}" if len(protocols) > 1 else ""
        columns += [f"PSNR{behind}", f"SSIM{behind}", *([f"gain{behind}"] if baselines else [])]
        columns += [f"{of['title']}{behind}" for of in metrics.values()]
    columns.append("seconds")
    found: dict[tuple[str, int, str], dict[str, Mapping[str, Any]]] = {}
    for entry in record["results"]:
        for image in entry["images"]:
            key = (entry["set"], entry["scale"], image["name"])
            found.setdefault(key, {})[entry["protocol"]] = image
    rows = []
    for (name, scale, picture), scores in found.items():
        cells = [_cell(picture, picture), _cell(f"{name} x{scale}", f"{name} x{scale}")]
        summary = []
        for protocol in protocols:
            image = scores.get(protocol, {"psnr": None, "ssim": None})
            base = baselines.get((name, scale, protocol, picture))
            gain = None if None in (base, image["psnr"]) else image["psnr"] - base
            error = image.get("error", "")
            cells += [_number(image["psnr"], 3, error), _number(image["ssim"], 4, error)]
            if baselines:
                cells.append(_number(gain, 3, error))
            why = image.get("metric_errors", {})
            cells += [_number(image.get(key), 4, error or why.get(key, "")) for key in metrics]
            if image["psnr"] is not None:
                ssim = "-" if image["ssim"] is None else f"{image['ssim']:.4f}"
                summary.append(f"{protocol} {image['psnr']:.2f} dB / {ssim}")
        cells.append(_number(next(iter(scores.values())).get("seconds"), 3, ""))
        key = (name, scale, picture)
        row = {"key": key, "cells": cells, "summary": " · ".join(summary), "shot": None}
        rows.append(row)
    return columns, rows


def _cell(text: str, value: Any, title: str = "") -> dict[str, Any]:
    return {"text": text, "value": value, "title": title}


def _number(value: float | None, digits: int, error: str) -> dict[str, Any]:
    if value is None:
        return _cell("-", "", error)
    return _cell(f"{value:.{digits}f}", repr(value) if math.isfinite(value) else "inf", error)


def _errors(record: Mapping[str, Any]) -> list[str]:
    """What was not scored and why, each fault once."""
    lines = []
    for entry in entries_of(record):
        where = f"{entry['set']} x{entry['scale']}"
        faults = [note for note in entry.get("notes", ()) if note.startswith("not scored")]
        lines += [f"{where}: {fault}" for fault in faults]
        lines += [f"{where}, {i['name']}: {i['error']}" for i in entry["images"] if "error" in i]
    return list(dict.fromkeys(lines))
