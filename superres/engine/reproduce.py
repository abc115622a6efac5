"""docs/reproduce.md: every training on record, how to repeat it, and what it reached."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

from superres.errors import UserError
from superres.evaluation.curves import chart_file, read_curves
from superres.files import write_text
from superres.paths import share_dir

from .cards import write_cards
from .recipes import describe, described_folders
from .records import TrainingRecord, find_records, results_table

START, END = "<!-- made by `superres models metafile` -->", "<!-- end -->"
_CURVE = "PSNR in dB"


def write_docs() -> list[Path]:
    """Make everything anew that records and configs tell; gives the files that changed."""
    changed = [path for folder in described_folders() for path in describe(folder)]
    return [*changed, *write_cards(), *write_reproduction()]


def write_reproduction() -> list[Path]:
    """Make the tables, commands and curves anew; gives the files that changed.

    Raises:
        UserError: the page or its marks are missing.
    """
    docs = share_dir("configs").parent / "docs"
    page = docs / "reproduce.md"
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    if END not in text.partition(START)[2]:
        raise UserError(f"{page}: it needs the lines {START} and, below it, {END}")
    records = find_records()
    curves = _curves(records)
    before, rest = text.split(START, 1)
    made = "\n".join(_lines(records, [name for name, _ in curves]))
    files = {page: f"{before}{START}\n{made}\n{END}{rest.split(END, 1)[1]}"}
    files |= {docs / "images" / name: svg for name, svg in curves}
    changed = []
    for path, content in files.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != content:
            write_text(path, content)
            changed.append(path)
    return changed


def _lines(records: list[TrainingRecord], curves: list[str]) -> Iterable[str]:
    yield from results_table(records, "results")
    for record in records:
        yield from ("", f"### {record.name}", "")
        yield "<!-- not run: trains for minutes or hours -->"
        yield from ("```bash", *commands(record), "```")
        if told := _still_rising(record):
            yield from ("", told)
        name = curve_name(record)
        if name in curves:
            curves = [other for other in curves if other != name]
            title = f"{record.run['config']}: validation over iterations"
            yield from ("", f"![{title}](images/{name})")


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


def curve_name(record: TrainingRecord) -> str:
    """The file in docs/images with the curves of a record's config."""
    return f"curve_{record.run['config']}.svg"


def _curves(records: list[TrainingRecord]) -> list[tuple[str, str]]:
    """A picture for each config that was trained in more ways than one."""
    ways: dict[str, list[TrainingRecord]] = {}
    for record in records:
        ways.setdefault(record.run["config"], []).append(record)
    return [
        (curve_name(group[0]), _chart(config, group))
        for config, group in ways.items()
        if len(group) > 1
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


def _chart(config: str, group: list[TrainingRecord]) -> str:
    series = {}
    for record in group:
        first = list(_curve(record).items())[:1]  # of the first set that was validated on
        for name, points in first:
            start = record.run.get("load_from")
            series[f"{name}, {f'from {start}' if start else 'from scratch'}"] = points
    return chart_file(_CURVE, series)
