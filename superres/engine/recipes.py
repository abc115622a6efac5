"""The configs that come with the package: found, summed up, and described in their folders."""

from __future__ import annotations

import difflib
import fnmatch
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from superres.checkpoints.files import sha256
from superres.checkpoints.shipped import shipped
from superres.errors import UserError
from superres.evaluation.published import PublishedScore
from superres.files import write_text
from superres.models.summary import Summary, build_on_meta, summarise
from superres.paths import share_dir

from .config.load import load_config
from .config.types import use_scope
from .config.values import scales_of, to_plain
from .records import TrainingRecord, find_records, results_table
from .test.published_columns import standing_of_training

START, END = "<!-- made by `superres models metafile` -->", "<!-- end -->"
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_PAPER = re.compile(r"^> (.+?) \[\[paper\]\((\S+?)\)\]", re.MULTILINE)


@dataclass(frozen=True)
class Recipe:
    """One config.

    Attributes:
        path: the file.
    """

    path: Path

    @property
    def name(self) -> str:
        """The bare name that commands take."""
        return self.path.stem

    @property
    def folder(self) -> str:
        """The method's folder."""
        return self.path.parent.name

    @cached_property
    def config(self) -> Config:
        """Read and completed."""
        return load_config(str(self.path))

    @property
    def scales(self) -> list[int]:
        """One, or those of a multi-scale network."""
        return scales_of(self.config)

    def parameters(self) -> int:
        """Of the network."""
        use_scope()
        network = build_on_meta(to_plain(self.config.model)["backbone"])
        return sum(p.numel() for p in network.parameters())

    @cached_property
    def summaries(self) -> list[Summary]:
        """One per scale, for a result of 1280x720, without what it takes of memory."""
        use_scope()
        backbone = to_plain(self.config.model)["backbone"]
        return [summarise(backbone, scale=scale, memory=False) for scale in self.scales]

    def published(self) -> list[PublishedScore]:
        """What publications say of this network trained so, also with self-ensemble (``+``).

        Nothing of a config that names a method and is of another network or training.
        """
        plain, plus = (standing_of_training(self.config, None, ensemble) for ensemble in (0, 1))
        if plain.why:
            return []
        return [s for s in (*plain.scores, *plus.scores) if s.scale in self.scales]


def find_recipes(patterns: Sequence[str] = ()) -> list[Recipe]:
    """The configs whose names match one of the patterns (``edsr*``; none: all), by name.

    Raises:
        UserError: nothing matches; near names are given.
    """
    root = share_dir("configs")
    found = [Recipe(p) for p in sorted(root.rglob("*.py")) if "_base_" not in p.parts]
    if not patterns:
        return found
    chosen = [r for r in found if any(fnmatch.fnmatchcase(r.name, p) for p in patterns)]
    if not chosen:
        names = [r.name for r in found]
        near = difflib.get_close_matches(patterns[0].strip("*"), names, n=3, cutoff=0.4)
        raise UserError(
            f"no config is called {' or '.join(patterns)}"
            + (f"; near are {', '.join(near)}" if near else "")
            + ". `superres models list` shows all; quote patterns: 'edsr*'"
        )
    return chosen


def metafile(folder: Path) -> str:
    """The text of a method folder's ``metafile.yml``, in OpenMMLab's form."""
    readme = _readme(folder)
    title, paper = _TITLE.search(readme), _PAPER.search(readme)
    collection = {"Name": title[1], "README": f"configs/{folder.name}/README.md"}
    if paper:
        collection["Paper"] = {"Title": paper[1], "URL": paper[2]}
    models = [_model(recipe, title[1]) for recipe in _recipes_of(folder)]
    content = {"Collections": [collection], "Models": models}
    return (
        "# Made by `superres models metafile`: change the configs or the published tables.\n"
        + yaml.safe_dump(content, sort_keys=False, width=100)
    )


def _recipes_of(folder: Path) -> list[Recipe]:
    return [_recipe(path) for path in sorted(folder.glob("*.py"))]


@functools.cache
def _recipe(path: Path) -> Recipe:
    return Recipe(path)  # kept, since what it knows takes time


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    if not path.is_file():
        raise UserError(f"{path} is missing: it names the method and its paper")
    text = path.read_text(encoding="utf-8")
    if not _TITLE.search(text) or END not in text.partition(START)[2]:
        raise UserError(f"{path}: it needs a '# title' and the lines {START} and, below it, {END}")
    return text


def _model(recipe: Recipe, collection: str) -> dict[str, Any]:
    cfg = recipe.config
    summaries = recipe.summaries
    flops = {f"x{s.scale}": s.flops for s in summaries}
    sizes = {f"x{s.scale}": "{2}x{1}".format(*s.input) for s in summaries}
    single = len(summaries) == 1
    # Trained otherwise than the config says (another name), it is in the README's table alone.
    own = [record for record in find_records(recipe.name) if record.name == recipe.name]
    return {
        "Name": recipe.name,
        "In Collection": collection,
        "Config": f"configs/{recipe.folder}/{recipe.path.name}",
        "Metadata": {
            "Training Data": cfg.train_set,
            "Iterations": cfg.max_iters,
            "Scale": recipe.scales[0] if single else recipe.scales,
            "Parameters": summaries[0].parameters,
            "FLOPs": summaries[0].flops if single else flops,
            "FLOPs Input": sizes[f"x{summaries[0].scale}"] if single else sizes,
        },
        **(_files(own[0]) if own else {}),
        "Results": [
            *(score for record in own for score in _scores(record)),
            *_published(recipe),
        ],
    }


def _files(record: TrainingRecord) -> dict[str, str]:
    """The log, and the weights where they are in the package."""
    digest = record.results["checkpoint"]["sha256"]
    found = [path.name for path in shipped().values() if sha256(path) == digest]
    weights = {"Weights": f"superres/weights/{found[0]}"} if found else {}
    return {**weights, "Training Log": f"docs/results/{record.name}/log.jsonl.gz"}


def _scores(record: TrainingRecord) -> list[dict[str, Any]]:
    """What was trained here reached; the unrounded scores stand in the source."""
    return [
        {
            "Task": "Image Super-Resolution",
            "Dataset": score["set"],
            "Scale": score["scale"],
            "Protocol": score["protocol"],
            "Metrics": {"PSNR": round(score["psnr"], 4), "SSIM": round(score["ssim"], 4)},
            "Source": f"docs/results/{record.name}/results.json",
        }
        for score in record.results["results"]
        if score["psnr"] is not None
    ]


def _published(recipe: Recipe) -> list[dict[str, Any]]:
    return [
        {
            "Task": "Image Super-Resolution",
            "Dataset": score.set,
            "Scale": score.scale,
            **({"Self-ensemble": True} if score.method.endswith("+") else {}),
            **({"Degradation": score.degradation} if score.degradation != "bicubic" else {}),
            "Protocol": score.protocol,
            "Metrics": {"PSNR": score.psnr} | ({} if score.ssim is None else {"SSIM": score.ssim}),
            "Source": score.source,
            **({"Note": score.note} if score.note else {}),
        }
        for score in recipe.published()
    ]


def readme(folder: Path) -> str:
    """The folder's ``README.md`` with its table made anew."""
    before, rest = _readme(folder).split(START, 1)
    after = rest.split(END, 1)[1]
    return f"{before}{START}\n{_tables(folder)}{END}{after}"


def _tables(folder: Path) -> str:
    recipes = _recipes_of(folder)
    lines = ["| config | parameters | GFLOPs to 1280x720 | receptive radius |"]
    lines += ["|---|---:|---:|---:|"]
    for recipe in recipes:
        summaries = recipe.summaries
        flops = " / ".join(f"{s.flops / 1e9:,.1f}" for s in summaries)
        radius = summaries[0].receptive_radius
        lines.append(
            f"| [{recipe.name}]({recipe.path.name}) | {summaries[0].parameters:,} | {flops} | "
            f"{'whole picture' if radius is None else f'{radius} px'} |"
        )
    scores = {r.name: r.published() for r in recipes}
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for name, entries in scores.items():
        for e in entries:
            plus = " with self-ensemble" if e.method.endswith("+") else ""
            row = rows.setdefault((name + plus, f"x{e.scale}", e.protocol, e.source), {})
            row[e.set] = _psnr(e.psnr) + ("" if e.ssim is None else f" / {e.ssim:.4f}")
    trained = [record for recipe in recipes for record in find_records(recipe.name)]
    if trained:
        table = results_table(trained, "../../docs/results")
        compared = any(score.get("published") for r in trained for score in r.results["results"])
        what = "PSNR / SSIM" + (", difference to the published PSNR" if compared else "")
        lines += ["", f"Trained with superres ({what}):", "", *table]
    if rows:
        sets = [
            s
            for s in ("Set5", "Set14", "B100", "Urban100", "Manga109", "DIV2K")
            if any(s in row for row in rows.values())
        ]
        lines += ["", "Published scores (PSNR / SSIM), to compare your own with:", ""]
        lines.append("| config | scale | protocol | " + " | ".join(sets) + " | source |")
        lines.append("|---|---|---|" + "---|" * len(sets) + "---|")
        for (name, scale, protocol, source), row in rows.items():
            cells = " | ".join(row.get(s, "") for s in sets)
            lines.append(f"| {name} | {scale} | {protocol} | {cells} | {source} |")
    return "\n".join(lines) + "\n"


def _psnr(value: float) -> str:
    """As printed: with two digits, or with four."""
    return f"{value:.2f}" if round(value, 2) == value else f"{value:.4f}"


def described_folders() -> list[Path]:
    """The method folders: those with a README, or that had one when their metafile was made."""
    names = ("README.md", "metafile.yml")
    return sorted({path.parent for n in names for path in share_dir("configs").glob(f"*/{n}")})


def describe(folder: Path) -> list[Path]:
    """Write ``metafile.yml`` and the table of ``README.md``; gives the files that changed."""
    changed = []
    for name, text in (("metafile.yml", metafile(folder)), ("README.md", readme(folder))):
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_text(path, text)
            changed.append(path)
    return changed
