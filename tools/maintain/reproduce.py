"""docs/reproduce.md: every training on record, how to repeat it, and what it reached."""

from __future__ import annotations

import tempfile
from pathlib import Path

from maintain import ROOT, filled
from maintain.chart import chart_file
from maintain.records import TrainingRecord, find_records, results_table
from superres.evaluation.curves import read_curves

_CURVE = "PSNR in dB"


def pages() -> dict[Path, str]:
    """The page, and a chart for each config that was trained in more ways than one."""
    records, made = find_records(), {}
    lines = results_table(records, "results")
    for record in records:
        config = record.run["config"]
        lines += ["", f"### {record.name}", ""]
        lines += ["<!-- not run: trains for minutes or hours -->"]
        lines += ["```bash", *commands(record), "```"]
        if told := _still_rising(record):
            lines += ["", told]
        chart = ROOT / "docs/images" / f"curve_{config}.svg"
        group = find_records(config)
        if len(group) > 1 and chart not in made:
            made[chart] = _chart(group)
            title = f"{config}: validation over iterations"
            lines += ["", f"![{title}](images/{chart.name})"]
    page = ROOT / "docs/reproduce.md"
    return {page: filled(page, "\n".join(lines)), **made}


def commands(record: TrainingRecord) -> list[str]:
    """The shell commands that repeat a training and its test."""
    run, work = record.run, f"work_dirs/{record.name}"
    train = f"superres train {run['config']} --seed {run['seed']} --work-dir {work}"
    if run.get("load_from"):
        train += f" --cfg-options load_from={run['load_from']}"
    sets = ",".join(dict.fromkeys(r["set"] for r in record.results["results"]))
    protocols = ",".join(dict.fromkeys(r["protocol"] for r in record.results["results"]))
    return [
        train,
        f"superres test {run['config']} {work}/best.pth --sets {sets} --protocols {protocols} "
        f"--out {work}/test",
    ]


def _still_rising(record: TrainingRecord) -> str:
    """What validation gained in the last quarter of the run, or nothing if it tells too little."""
    told = []
    curves = _curve(record)
    first = next(iter(curves), "").split(" ")[0]  # the set that weights are chosen on; all scales
    for name, points in curves.items():
        last, best = points[-1]
        earlier = [point for point in points if point[0] <= 0.75 * last]
        if earlier and name.split(" ")[0] == first:
            since, then = earlier[-1]
            told.append(
                f"{name}: {best:.2f} dB at iteration {last:,}, {best - then:+.2f} dB since "
                f"iteration {since:,}"
            )
    return f"{'; '.join(told)}, while the learning rate falls to its end." if told else ""


def _curve(record: TrainingRecord) -> dict[str, list[tuple[int, float]]]:
    """PSNR over iterations for each set that was validated on."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.jsonl"
        log.write_bytes(record.log)
        return read_curves(log).get(_CURVE, {})


def _chart(group: list[TrainingRecord]) -> str:
    series = {}
    for record in group:
        first = list(_curve(record).items())[:1]  # of the first set that was validated on
        for name, points in first:
            start = record.run.get("load_from")
            series[f"{name}, {f'from {start}' if start else 'from scratch'}"] = points
    return chart_file(_CURVE, series)
