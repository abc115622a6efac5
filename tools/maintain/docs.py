"""Write the tables of docs/reproduce.md and of the method folders, and their ``metafile.yml``.

python tools/maintain/docs.py

They are made of committed files alone: configs, published scores and trainings on record.
"""

from __future__ import annotations

import functools
import re
import sys
from pathlib import Path
from typing import Any

import yaml

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).resolve().parents[i]) for i in (1, 2)]

from maintain import ROOT, markdown_table
from maintain.records import find_records, results_table, score_table
from superres.checkpoints.weight_files import sha256
from superres.checkpoints.zoo import shipped
from superres.cli.main import exit_code
from superres.engine.config.load import load_config
from superres.engine.config.values import scales_of, to_plain, use_scope
from superres.engine.test.published_network import standing_of_training
from superres.evaluation.published import PublishedScore
from superres.evaluation.tables import format_published
from superres.models.summary import Summary, summarise

START, END = "<!-- made by tools/maintain/docs.py -->", "<!-- end -->"
HEAD = "# Made by tools/maintain/docs.py: change the configs or the published tables.\n"
_TITLE = re.compile(r"^# (.+)$", re.MULTILINE)
_PAPER = re.compile(r"^> (.+?) \[\[paper\]\((\S+?)\)\]", re.MULTILINE)


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
    """Write what is not as it would be made."""
    for path, text in pages().items():
        if not path.is_file() or path.read_text("utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
