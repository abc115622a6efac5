"""What there is to use or to train: the configs that come with the package, and their weights.

Read from the method folders' ``metafile.yml``, without torch and mmengine.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from superres.checkpoints.zoo import PUBLISHED
from superres.errors import UserError, did_you_mean
from superres.paths import share_dir

_SCALES = re.compile(r"_x(\d(?:x\d)*)(?=[ck_]|$)")


@dataclass(frozen=True)
class Score:
    """One published or measured result.

    Attributes:
        set, scale, protocol: what it was measured on and how.
        psnr: in dB.
        measured: with this package, by a training on record; else quoted from a publication.
    """

    set: str
    scale: int
    protocol: str
    psnr: float
    measured: bool


@dataclass(frozen=True)
class Entry:
    """One config.

    Attributes:
        name: its bare name, which commands take.
        method: the title of its folder (``EDSR``); the folder's name without one.
        config: path.
        scales: one, or those of a network of several.
        parameters: of the network; None where no metafile tells.
        weights: name for ``--model``; None where the network has to be trained.
        shipped: the weights come with the package; else they are downloaded when first used.
        scores: bicubic LR, without self-ensemble.
    """

    name: str
    method: str
    config: Path
    scales: tuple[int, ...]
    parameters: int | None
    weights: str | None
    shipped: bool
    scores: tuple[Score, ...]

    @property
    def family(self) -> str:
        """The name without its scales and iterations: the same for a method's configs."""
        return re.sub(r"_\d+k(?=_)", "", _SCALES.sub("_", self.name, count=1))


def read_zoo() -> list[Entry]:
    """All configs, by folder and name."""
    root = share_dir("configs")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where it is built
    published = {weights.config: name for name, weights in PUBLISHED.items()}
    entries = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("_")):
        told = {}
        meta = folder / "metafile.yml"
        if meta.is_file():
            with meta.open(encoding="utf-8") as file:
                told = yaml.load(file, loader)
        title = told["Collections"][0]["Name"] if told else folder.name
        models = {model["Name"]: model for model in told.get("Models", ())}
        for path in sorted(folder.glob("*.py")):
            entries.append(_entry(path, title, models.get(path.stem, {}), published))
    return entries


def find(words: Sequence[str] = ()) -> list[Entry]:
    """The configs that all ``words`` mean: a part of their name, of their weights' or method's.

    A word with ``*`` or ``?`` stands for a whole name.

    Raises:
        UserError: there is none; near names are given.
    """
    entries = read_zoo()
    found = [e for e in entries if all(_means(word, e) for word in words)]
    if not found:
        names = {n for e in entries for n in (e.name, e.weights or e.name)}
        near = did_you_mean(max(words, key=len).strip("*"), names, 0.4)
        raise UserError(
            f"no config and no weights are called {' '.join(words)}{near or '.'} "
            "`superres models list` shows what there is"
        )
    return found


def _means(word: str, entry: Entry) -> bool:
    wanted = word.lower() if any(sign in word for sign in "*?[") else f"*{word.lower()}*"
    names = (entry.name, entry.method, entry.weights or "")
    return any(fnmatch.fnmatchcase(name.lower(), wanted) for name in names)


def _entry(path: Path, title: str, model: dict, published: Mapping[str | None, str]) -> Entry:
    meta = model.get("Metadata", {})
    scale = meta.get("Scale")
    if scale is None:
        named = _SCALES.search(path.stem)
        scale = [int(s) for s in named[1].split("x")] if named else []
    shipped = "Weights" in model
    weights = Path(model["Weights"]).stem if shipped else published.get(path.stem)
    scores = tuple(
        Score(
            result["Dataset"],
            result["Scale"],
            result["Protocol"],
            result["Metrics"]["PSNR"],
            result["Source"].startswith("docs/results/"),
        )
        for result in model.get("Results", ())
        if "Self-ensemble" not in result and "Degradation" not in result
    )
    scales = tuple(scale) if isinstance(scale, list) else (scale,)
    return Entry(path.stem, title, path, scales, meta.get("Parameters"), weights, shipped, scores)
