"""Trainings on record, and the tables and ``metafile.yml`` files that are made of them.

    python tools/maintain/docs.py [--record WORK_DIR RESULTS]

puts a finished training, if one is named, into ``docs/results/NAME``: ``results.json`` (of
``superres test``), ``run.json``, ``log.jsonl.gz`` and ``config.py`` (as it ran). Then it writes the
tables of docs/reproduce.md and of the method folders, and their ``metafile.yml``, from committed
files alone: configs, published scores and these records.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, markdown_table
from superres.checkpoints.weight_files import sha256
from superres.checkpoints.zoo import shipped
from superres.cli.main import exit_code
from superres.engine.config.load import load_config
from superres.engine.config.values import scales_of, to_plain, use_scope
from superres.engine.test.published_network import standing_of_training
from superres.errors import UserError
from superres.evaluation.curves import log_lines
from superres.evaluation.published import PublishedScore
from superres.evaluation.results import read_results
from superres.evaluation.tables import format_published
from superres.models.summary import Summary, summarise

RECORDS = ROOT / "docs/results"
FILES = {"json": "results.json", "log": "log.jsonl.gz", "config": "config.py"}
SETS = ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K", "DIV2K_valid_256")


START, END = "<!-- made by tools/maintain/docs.py -->", "<!-- end -->"
HEAD = "# Made by tools/maintain/docs.py: change the configs or the published tables.\n"
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_PAPER = re.compile(r"^> (.+?) \[\[paper\]\((\S+?)\)\]", re.MULTILINE)


@dataclass(frozen=True)
class TrainingRecord:
    """One folder of ``docs/results``.

    Attributes:
        name: of the folder: the config's, or that and what was different.
        run: what was trained and where, see :func:`write_record`.
        results: of ``superres test``.
    """

    name: str
    run: dict[str, Any]
    results: dict[str, Any]


@functools.cache
def find_records(root: Path = RECORDS) -> tuple[TrainingRecord, ...]:
    """All records, by name."""
    folders = sorted(path.parent for path in root.glob("*/run.json"))
    runs = (json.loads((folder / "run.json").read_text(encoding="utf-8")) for folder in folders)
    return tuple(TrainingRecord(f.name, run, read_results(f)) for f, run in zip(folders, runs))


def write_record(
    work_dir: Path, results: Path, name: str | None = None, note: str = "", root: Path = RECORDS
) -> Path:
    """Put a finished training on record.

    Args:
        work_dir: of the training; ``log.jsonl`` and ``config.py`` are taken from it.
        results: the ``results.json`` of ``superres test``, or its folder.
        name: of the record; default: the config's name.
        note: what a reader of the table should know.
        root: the folder of all records.

    Raises:
        UserError: a file is missing or is not what it should be, or the training is not finished.
    """
    log, own_config = work_dir / "log.jsonl", work_dir / "config.py"
    if not (log.is_file() and own_config.is_file()):
        raise UserError(f"{work_dir}: not the work dir of a training (log.jsonl, config.py)")
    tested = read_results(results)
    if not tested.get("config"):
        raise UserError(f"{results}: not of `superres test`; it names no config")
    file = ROOT / tested["config"]
    if file.is_relative_to(ROOT):  # where a checkout lies is nobody's business
        tested["config"] = file.relative_to(ROOT).as_posix()
    trained = to_plain(load_config(os.fspath(own_config)))
    lines = list(log_lines(log))
    iterations = max((x["iter"] for x in lines if x.get("it_per_s")), default=0)
    if iterations < trained.get("max_iters", 1):
        done = f"{iterations:,} of {trained.get('max_iters', 1):,} iterations"
        raise UserError(f"{log}: not finished, {done}; continue with superres train ... --resume")
    starts = [line for line in lines if line.get("hardware")]  # the first, one after each break
    run = {
        "config": file.stem,
        **{key: trained.get(key) for key in ("seed", "load_from", "train_set")},
        "iterations": iterations,
        "seconds": round(_seconds(lines)),
        "hardware": "; ".join(dict.fromkeys(line["hardware"] for line in starts)),
        "commit": next((line["commit"] for line in starts if line.get("commit")), None),
        "versions": tested.get("versions", {}),
        "note": note,
    }
    folder = root / (name or file.stem)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run, indent=2) + "\n", encoding="utf-8")
    (folder / "results.json").write_text(json.dumps(tested, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(own_config, folder / "config.py")
    # No time inside: the same log gives the same bytes.
    (folder / "log.jsonl.gz").write_bytes(gzip.compress(log.read_bytes(), mtime=0))
    find_records.cache_clear()
    return folder


def _seconds(lines: Iterable[dict[str, Any]]) -> float:
    """Time spent, over all parts of an interrupted run; what stands still does not count."""
    total, before = 0.0, 0
    for line in lines:
        if line.get("it_per_s"):
            # After a resume the log goes back; only new iterations are counted once more.
            total += max(line["iter"] - before, 0) / line["it_per_s"]
            before = line["iter"]
        elif line.get("mode") == "val":
            total += line.get("seconds", 0.0)
    return total


def score_table(
    head: list[str], rows: dict[tuple[str, ...], dict[str, str]], tail: list[str]
) -> list[str]:
    """Markdown: a column per test set between others.

    Args:
        head, tail: names of the columns on the left and on the right.
        rows: what stands in these columns -> {test set: scores}.
    """
    used = {name for cells in rows.values() for name in cells}
    sets = [*(s for s in SETS if s in used), *sorted(used - {*SETS})]
    n = len(head)
    table = [[*k[:n], *(c.get(s, "") for s in sets), *k[n:]] for k, c in rows.items()]
    return markdown_table([*head, *sets, *tail], table)


def results_table(records: Iterable[TrainingRecord], results: str) -> list[str]:
    """Markdown: a line per record and scale.

    Args:
        records: of one method, or of all.
        results: where docs/results lies, as seen from the file that the table stands in.
    """
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    runs = {record.name: record.run for record in records}
    for record in records:
        hours, minutes = divmod(round(record.run["seconds"] / 60), 60)
        duration = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min"
        links = ", ".join(f"[{k}]({results}/{record.name}/{file})" for k, file in FILES.items())
        for score in (s for s in record.results["results"] if s["psnr"] is not None):
            difference = ((score.get("published") or {}).get("difference") or {}).get("psnr")
            beside = "" if difference is None else f" ({difference:+.2f})"
            start = record.run.get("load_from") or "scratch"
            key = record.name, f"x{score['scale']}", score["protocol"], duration, start, links
            text = f"{score['psnr']:.2f} / {score['ssim']:.4f}{beside}"
            rows.setdefault(key, {})[score["set"]] = text
    lines = score_table(["run", "scale", "protocol"], rows, ["training", "from", "files"])
    lines += ["", f"Trained on {'; '.join(sorted({run['hardware'] for run in runs.values()}))}."]
    noted: dict[str, list[str]] = {}
    for name, run in runs.items():
        noted.setdefault(run["note"], []).append(name)
    *few, (most, names) = sorted(noted.items(), key=lambda item: len(item[1]))
    told = [(", ".join(each), note) for note, each in few]
    every = "All others" if few else "All of them"
    told.append((every if len(names) > 1 else names[0], most))
    return lines + [line for who, note in told if note for line in ("", f"{who}: {note}.")]


class Recipe:
    """A config that comes with the package, and what its tables say."""

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.stem
        self.config = load_config(str(path))
        self.scales = scales_of(self.config)


def pages() -> dict[Path, str]:
    """All files that are made, with what they should hold."""
    page = ROOT / "docs/reproduce.md"
    made = {page: filled(page, results_table(find_records(), "results"))}
    for readme in sorted((ROOT / "configs").glob("*/README.md")):
        recipes = [Recipe(path) for path in sorted(readme.parent.glob("*.py"))]
        made[readme] = filled(readme, method_tables(recipes))
        made[readme.with_name("metafile.yml")] = metafile(readme, recipes)
    return made


def filled(page: Path, lines: list[str]) -> str:
    """A page with ``lines`` between its marks."""
    before, _, rest = page.read_text("utf-8").partition(START)
    return f"{before}{START}\n" + "\n".join([*lines, END]) + rest.partition(END)[2]


@functools.cache
def summaries(recipe: Recipe) -> list[Summary]:
    """One per scale, for a result of 1280x720, without what it takes of memory."""
    use_scope()
    backbone = to_plain(recipe.config.model)["backbone"]
    return [summarise(backbone, scale=scale, memory=False) for scale in recipe.scales]


@functools.cache
def published(recipe: Recipe) -> list[PublishedScore]:
    """What publications say of this network trained so, also with self-ensemble (``+``).

    Nothing of a config that names a method and is of another network or training.
    """
    plain, plus = (standing_of_training(recipe.config, None, ensemble) for ensemble in (0, 1))
    if plain.why:
        return []
    return [s for s in (*plain.scores, *plus.scores) if s.scale in recipe.scales]


def metafile(readme: Path, recipes: list[Recipe]) -> str:
    """The text of ``metafile.yml``, in OpenMMLab's form."""
    text = readme.read_text(encoding="utf-8")
    name, paper = _TITLE.search(text)[1], _PAPER.search(text)
    collection: dict[str, Any] = {"Name": name, "README": readme.relative_to(ROOT).as_posix()}
    if paper:
        collection["Paper"] = {"Title": paper[1], "URL": paper[2]}
    models = [_model(recipe, name) for recipe in recipes]
    content = {"Collections": [collection], "Models": models}
    return HEAD + yaml.safe_dump(content, sort_keys=False, width=100)


def _model(recipe: Recipe, collection: str) -> dict[str, Any]:
    own = summaries(recipe)
    single = len(own) == 1

    def each(values: list[Any]) -> Any:
        """One value, or one by scale."""
        return values[0] if single else {f"x{s.scale}": v for s, v in zip(own, values)}

    metadata = {
        "Training Data": recipe.config.train_set,
        "Iterations": recipe.config.max_iters,
        "Scale": recipe.scales[0] if single else recipe.scales,
        "Parameters": own[0].parameters,
        "FLOPs": each([s.flops for s in own]),
        "FLOPs Input": each(["{2}x{1}".format(*s.input) for s in own]),
    }
    config = recipe.path.relative_to(ROOT).as_posix()
    model = {"Name": recipe.name, "In Collection": collection, "Config": config}
    model["Metadata"] = metadata
    results = []
    # Trained otherwise than the config says (another name), it is in the README's table alone.
    for record in (record for record in find_records() if record.name == recipe.name):
        folder = f"docs/results/{record.name}"
        digest = record.results["checkpoint"]["sha256"]
        for path in shipped().values():
            if sha256(path) == digest:
                model["Weights"] = f"superres/weights/{path.name}"
        model["Training Log"] = f"{folder}/log.jsonl.gz"
        for score in (s for s in record.results["results"] if s["psnr"] is not None):
            # The unrounded scores stand in the source.
            rounded = {key: round(score[key], 4) for key in ("psnr", "ssim")}
            results.append(_result({**score, **rounded}, f"{folder}/results.json"))
    results += [_result(vars(score), score.source) for score in published(recipe)]
    return {**model, "Results": results}


def _result(score: dict[str, Any], source: str) -> dict[str, Any]:
    degradation = score.get("degradation", "bicubic")
    return {
        "Task": "Image Super-Resolution",
        "Dataset": score["set"],
        "Scale": score["scale"],
        **({"Self-ensemble": True} if score["method"].endswith("+") else {}),
        **({"Degradation": degradation} if degradation != "bicubic" else {}),
        "Protocol": score["protocol"],
        "Metrics": {k.upper(): score[k] for k in ("psnr", "ssim") if score[k] is not None},
        "Source": source,
        **({"Note": score["note"]} if score.get("note") else {}),
    }


def method_tables(recipes: list[Recipe]) -> list[str]:
    """What the networks of a folder cost, what they reached here and in publications."""
    networks = []
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for recipe in recipes:
        own = summaries(recipe)
        flops = " / ".join(f"{s.flops / 1e9:,.1f}" for s in own)
        radius = own[0].receptive_radius
        reach = "whole image" if radius is None else f"{radius} px"
        link = f"[{recipe.name}]({recipe.path.name})"
        networks.append([link, f"{own[0].parameters:,}", flops, reach])
        for score in published(recipe):
            name = recipe.name + (" with self-ensemble" if score.method.endswith("+") else "")
            row = rows.setdefault((name, f"x{score.scale}", score.protocol, score.source), {})
            row[score.set] = format_published(vars(score))
    head = ["config", "parameters:", "GFLOPs to 1280x720:", "receptive radius:"]
    lines = markdown_table(head, networks)
    names = [recipe.name for recipe in recipes]
    trained = [record for record in find_records() if record.run["config"] in names]
    trained.sort(key=lambda record: names.index(record.run["config"]))
    if trained:
        compared = any(score.get("published") for r in trained for score in r.results["results"])
        what = "PSNR / SSIM" + (", difference to the published PSNR" if compared else "")
        lines += ["", f"Trained with superres ({what}):", ""]
        lines += results_table(trained, "../../docs/results")
    if rows:
        lines += ["", "Published scores (PSNR / SSIM), to compare your own with:", ""]
        lines += score_table(["config", "scale", "protocol"], rows, ["source"])
    return lines


def main() -> int:
    """Put a training on record, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = {"nargs": 2, "type": Path, "metavar": ("WORK_DIR", "RESULTS")}
    parser.add_argument("--record", **where, help="a training, and what `superres test` wrote")
    parser.add_argument("--name", help="of the record; default: the config's")
    parser.add_argument("--note", default="", help="what a reader of the table should know")
    args = parser.parse_args()
    if args.record:
        write_record(*args.record, args.name, args.note)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
