"""What there is to use or to train: the configs that come with the package, and their weights.

Read from the method folders' ``metafile.yml``, without torch and mmengine.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from superres.checkpoints.zoo import PUBLISHED
from superres.errors import UserError, did_you_mean
from superres.paths import share_dir

_SCALES = re.compile(r"_x(\d(?:x\d)*)(?=[ck_]|$)")


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
        scores: of bicubic LR, without self-ensemble; each with its ``set``, ``scale`` and
            ``protocol``, ``psnr`` in dB, and whether it was ``measured`` with this package, by a
            training on record, or is quoted from a publication.
    """

    name: str
    method: str
    config: Path
    scales: tuple[int, ...]
    parameters: int | None
    weights: str | None
    shipped: bool
    scores: tuple[dict[str, Any], ...]

    @property
    def family(self) -> str:
        """The name without its scales and iterations: the same for a method's configs."""
        return re.sub(r"_\d+k(?=_)", "", _SCALES.sub("_", self.name, count=1))


def read_zoo() -> list[Entry]:
    """All configs, by folder and name."""
    published = {weights.config: name for name, weights in PUBLISHED.items()}
    entries = []
    for folder in sorted(share_dir("configs").glob("[!_]*/")):
        title, models = _metafile(folder)
        for path in sorted(folder.glob("*.py")):
            model = models.get(path.stem, {})
            meta, shipped = model.get("Metadata", {}), "Weights" in model
            scales = meta.get("Scale")
            if scales is None:  # a folder of one's own, without a metafile
                named = _SCALES.search(path.stem)
                scales = [int(s) for s in named[1].split("x")] if named else []
            entries.append(
                Entry(
                    name=path.stem,
                    method=title,
                    config=path,
                    scales=tuple(scales) if isinstance(scales, list) else (scales,),
                    parameters=meta.get("Parameters"),
                    weights=Path(model["Weights"]).stem if shipped else published.get(path.stem),
                    shipped=shipped,
                    scores=tuple(
                        {
                            "set": result["Dataset"],
                            "scale": result["Scale"],
                            "protocol": result["Protocol"],
                            "psnr": result["Metrics"]["PSNR"],
                            "measured": result["Source"].startswith("docs/results/"),
                        }
                        for result in model.get("Results", ())
                        if "Self-ensemble" not in result and "Degradation" not in result
                    ),
                )
            )
    return entries


def _metafile(folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """The title of a method's folder, and what its metafile says of each config."""
    file = folder / "metafile.yml"
    if not file.is_file():
        return folder.name, {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times faster, where it is built
    content = yaml.load(file.read_text(encoding="utf-8"), loader)
    return content["Collections"][0]["Name"], {model["Name"]: model for model in content["Models"]}


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
