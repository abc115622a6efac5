"""The method folders of configs/: ``metafile.yml``, in OpenMMLab's form, and README.md's tables."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

from maintain import ROOT, filled, markdown_table
from maintain.records import SETS, TrainingRecord, find_records, results_table
from superres.checkpoints.files import sha256
from superres.checkpoints.shipped import shipped
from superres.engine.config.types import use_scope
from superres.engine.config.values import to_plain
from superres.engine.recipes import Recipe
from superres.engine.test.published_columns import standing_of_training
from superres.errors import UserError
from superres.evaluation.published import PublishedScore
from superres.models.summary import Summary, summarise

_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_PAPER = re.compile(r"^> (.+?) \[\[paper\]\((\S+?)\)\]", re.MULTILINE)


def pages() -> dict[Path, str]:
    """Both files of all method folders: those with a README, or with a metafile made of one."""
    names = ("README.md", "metafile.yml")
    folders = sorted({path.parent for n in names for path in (ROOT / "configs").glob(f"*/{n}")})
    made = {}
    for folder in folders:
        recipes = [_recipe(path) for path in sorted(folder.glob("*.py"))]
        made[folder / "metafile.yml"] = _metafile(folder, recipes)
        made[folder / "README.md"] = filled(folder / "README.md", _tables(recipes))
    return made


@functools.cache
def _recipe(path: Path) -> Recipe:
    return Recipe(path)  # kept, since what it knows takes time


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


def _metafile(folder: Path, recipes: list[Recipe]) -> str:
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    title, paper = _TITLE.search(text), _PAPER.search(text)
    if not title:
        raise UserError(f"{path} is missing, or without its '# title'")
    collection = {"Name": title[1], "README": f"configs/{folder.name}/README.md"}
    if paper:
        collection["Paper"] = {"Title": paper[1], "URL": paper[2]}
    models = [_model(recipe, title[1]) for recipe in recipes]
    content = {"Collections": [collection], "Models": models}
    return (
        "# Made by tools/maintain/docs.py: change the configs or the published tables.\n"
        + yaml.safe_dump(content, sort_keys=False, width=100)
    )


def _model(recipe: Recipe, collection: str) -> dict[str, Any]:
    own = summaries(recipe)
    single = len(own) == 1
    sizes = {f"x{s.scale}": "{2}x{1}".format(*s.input) for s in own}
    # Trained otherwise than the config says (another name), it is in the README's table alone.
    records = [record for record in find_records(recipe.name) if record.name == recipe.name]
    return {
        "Name": recipe.name,
        "In Collection": collection,
        "Config": f"configs/{recipe.path.parent.name}/{recipe.path.name}",
        "Metadata": {
            "Training Data": recipe.config.train_set,
            "Iterations": recipe.config.max_iters,
            "Scale": recipe.scales[0] if single else recipe.scales,
            "Parameters": own[0].parameters,
            "FLOPs": own[0].flops if single else {f"x{s.scale}": s.flops for s in own},
            "FLOPs Input": sizes[f"x{own[0].scale}"] if single else sizes,
        },
        **(_files(records[0]) if records else {}),
        "Results": [
            *(score for record in records for score in _scores(record)),
            *(_published(score) for score in published(recipe)),
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


def _published(score: PublishedScore) -> dict[str, Any]:
    return {
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


def _tables(recipes: list[Recipe]) -> str:
    networks = []
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for recipe in recipes:
        own = summaries(recipe)
        flops = " / ".join(f"{s.flops / 1e9:,.1f}" for s in own)
        radius = own[0].receptive_radius
        reach = "whole picture" if radius is None else f"{radius} px"
        link = f"[{recipe.name}]({recipe.path.name})"
        networks.append([link, f"{own[0].parameters:,}", flops, reach])
        for e in published(recipe):
            name = recipe.name + (" with self-ensemble" if e.method.endswith("+") else "")
            row = rows.setdefault((name, f"x{e.scale}", e.protocol, e.source), {})
            # As printed: with two digits, or with four.
            psnr = f"{e.psnr:.2f}" if round(e.psnr, 2) == e.psnr else f"{e.psnr:.4f}"
            row[e.set] = psnr + ("" if e.ssim is None else f" / {e.ssim:.4f}")
    head = ["config", "parameters:", "GFLOPs to 1280x720:", "receptive radius:"]
    lines = markdown_table(head, networks)
    trained = [record for recipe in recipes for record in find_records(recipe.name)]
    if trained:
        compared = any(score.get("published") for r in trained for score in r.results["results"])
        what = "PSNR / SSIM" + (", difference to the published PSNR" if compared else "")
        lines += ["", f"Trained with superres ({what}):", ""]
        lines += results_table(trained, "../../docs/results")
    if rows:
        sets = [s for s in SETS if any(s in row for row in rows.values())]
        lines += ["", "Published scores (PSNR / SSIM), to compare your own with:", ""]
        lines += markdown_table(
            ["config", "scale", "protocol", *sets, "source"],
            [[*key[:3], *(row.get(s, "") for s in sets), key[3]] for key, row in rows.items()],
        )
    return "\n".join(lines)
