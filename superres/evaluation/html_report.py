"""``report.html``: tables, curves and every result to look at, in one file of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from superres.evaluation.curves import Series, line_chart
from superres.evaluation.record import without_folders
from superres.evaluation.tables import Table, all_tables
from superres.viewer import FOLDER as VIEWER

_TEMPLATES = Path(__file__).with_name("templates")


def render_report(
    record: Mapping[str, Any],
    shots: Sequence[Mapping[str, Any]] = (),
    curves: Mapping[str, Series] | None = None,
    further: Iterable[Table] = (),
) -> str:
    """The report as HTML; absolute paths are shortened to names in it.

    Args:
        record: as results.json holds it; of a training that was not tested, one without results.
        shots: of :func:`superres.evaluation.report_images.embed_all`.
        curves: of trainings, see :func:`superres.evaluation.curves.read_curves`.
        further: tables behind those of the record.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    loader = FileSystemLoader([_TEMPLATES, VIEWER])
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    record, curves = without_folders(record), curves or {}
    columns, rows = _scores(record)
    numbers = {(s["set"], s["scale"], s["name"]): number for number, s in enumerate(shots)}
    shown = [
        {**shot, "title": f"{shot['set']} x{shot['scale']}: {shot['name']}", "psnr": "", "gain": ""}
        for shot in shots
    ]
    for key, cells in rows:
        found = dict(zip(columns, cells))
        if key in numbers and found["PSNR"][:1].isdigit():
            shot = shown[numbers[key]]
            shot["text"] += " {method}: {PSNR} dB ({protocol}).".format(**found)
            shot["psnr"] = shot["psnr"] or f"{found['PSNR']} dB"
            gain = found.get("gain", "-")
            shot["gain"] = shot["gain"] or (f"{gain} dB" if gain != "-" else "")
    layers = ("title", "text", "layers", "left", "right", "width", "height")
    return environment.get_template("report.html").render(
        title=headline(record) or _trained(curves) or "superres report",
        facts=_facts(record),
        tables=[*all_tables(record), *without_folders([*further])],
        shots=shown,
        data=[{key: shot[key] for key in layers} for shot in shown],
        image_note=f"{len(shown)} of {len({key for key, _ in rows})} images are in this report.",
        score_columns=columns,
        score_rows=[(numbers.get(key), cells) for key, cells in rows],
        curves=[line_chart(title, of) for title, of in curves.items()],
    )


def headline(record: Mapping[str, Any]) -> str:
    """``37.54 dB on Set5 x2, +3.87 over bicubic``: the best method on the first set; or nothing."""
    scored = [entry for entry in record["results"] if entry["psnr"] is not None]
    if not scored:
        return ""
    name, scale, _ = place = [scored[0][key] for key in ("set", "scale", "protocol")]
    base = [e for e in record.get("baselines", ()) if e["psnr"] is not None]
    of, below = (
        [e for e in entries if [e["set"], e["scale"], e["protocol"]] == place]
        for entries in (scored, [{**e, "method": e["method"].lower()} for e in base])
    )
    first, *others = sorted(of, key=lambda entry: -entry["psnr"])
    by = f"{first['method']}: " if len({e["method"] for e in scored}) > 1 else ""
    over = [f"{first['psnr'] - e['psnr']:+.2f} over {e['method']}" for e in [*others, *below]]
    return ", ".join([f"{by}{first['psnr']:.2f} dB on {name} x{scale}", *over])


def _trained(curves: Mapping[str, Series]) -> str:
    """The best validation on the set that the log names first, as a headline."""
    for name, points in curves.get("PSNR in dB", {}).items():
        iteration, psnr = max(points, key=lambda point: point[1])
        return f"{psnr:.2f} dB on {name} at iteration {iteration:,}"
    return ""


def _facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    checkpoint = record.get("checkpoint") or {}
    methods = dict.fromkeys(entry["method"] for entry in record["results"])
    facts = {"method": ", ".join(methods), "checkpoint": checkpoint.get("path")}
    facts["SHA-256"] = str(checkpoint.get("sha256") or "")[:12]
    facts |= {key: record.get(key) for key in ("config", "iter", "parameters", "device")}
    facts |= record.get("inference") or {}
    return [
        (key, f"{value:,}" if type(value) is int else str(value))
        for key, value in facts.items()
        if value not in (None, "")
    ]


def _scores(
    record: Mapping[str, Any],
) -> tuple[list[str], list[tuple[tuple[str, int, str], list[str]]]]:
    """Columns, and a row per image, method and protocol: (set, scale, name), and texts."""
    metrics = record.get("metrics") or {}
    base = {
        (e["set"], e["scale"], e["protocol"], image["name"]): image["psnr"]
        for e in record.get("baselines", ())
        for image in e["images"]
    }
    titles = [of.get("title", key) for key, of in metrics.items()]
    columns = ["image", "PSNR", *["gain"] * bool(base), "SSIM", "method", "set", "protocol"]
    rows = []
    for entry in record["results"]:
        name, scale, protocol = entry["set"], entry["scale"], entry["protocol"]
        for image in entry["images"]:
            psnr, below = image["psnr"], base.get((name, scale, protocol, image["name"]))
            gain = None if None in (below, psnr) else psnr - below
            scores = [(psnr, ".3f"), *[(gain, "+.3f")] * bool(base), (image["ssim"], ".4f")]
            more = [*((image.get(key), ".4f") for key in metrics), (image.get("seconds"), ".3f")]
            first, more = (
                ["-" if value is None else format(value, form) for value, form in values]
                for values in (scores, more)
            )
            if psnr is None:
                first[0] = f"not scored: {image.get('error', '')}"
            cells = [image["name"], *first, entry["method"], f"{name} x{scale}", protocol, *more]
            rows.append(((name, scale, image["name"]), cells))
    return [*columns, *titles, "seconds"], rows
