"""The images of earlier tests, found again for a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from superres.errors import UserError
from superres.evaluation.merge import Run, named_entries
from superres.evaluation.pairing import pair_by_name
from superres.evaluation.report_images import Shot, embed_all
from superres.imaging.io import read_image
from superres.imaging.listing import list_images

from .sets import ScoredDataset

Place = tuple[str, int, str]


def find_shots(runs: Sequence[Run], say: Callable[[str], object]) -> list[dict[str, Any]]:
    """The results that the runs' folders hold, beside what they were made from, for a report.

    Results are those that ``superres test --save-images`` kept beside its results.json, or that
    ``superres score`` has scored; the truth lies where the results.json names it.

    Args:
        runs: each with its folder, or results.json, as ``source``.
        say: called with what is not shown, and why.
    """
    results: dict[Place, dict[str, Path]] = {}
    for run, own, entry in named_entries(runs):
        for name, path in _results(run, entry).items() if own else ():
            place = entry["set"], entry["scale"], name
            results.setdefault(place, {}).setdefault(entry["method"], path)
    sets = {of: _truth(runs, *of, say) for of in dict.fromkeys(place[:2] for place in results)}

    def load(place: Place) -> Shot:
        lq = hr = None
        if (dataset := sets[place[:2]]) is not None:
            with suppress(UserError, ValueError):  # an image of the set that is gone, or damaged
                lq, hr = dataset.load([*dataset.gt.names()].index(place[2]))
        found = {of: read_image(path, channels="rgb") for of, path in results[place].items()}
        return Shot(*place, lq, found, hr)

    return embed_all([*results], load)


def _results(run: Run, entry: dict[str, Any]) -> dict[str, Path]:
    """The files of one method's results by the images' names."""
    folder = run.folder / "images" / entry["set"] / f"x{entry['scale']}"
    names = [Path(f"{i['name']}.png") for i in entry["images"] if i["psnr"] is not None]
    if folder.is_dir():
        return {name.stem: folder / name for name in names if (folder / name).is_file()}
    given = run.record.get("sr_dir")
    if not given or not Path(given).is_dir():
        return {}
    pairs = pair_by_name(list_images(Path(given)), names, entry["scale"]).pairs
    return {name: path for name, path, _ in pairs}


def _truth(
    runs: Sequence[Run], name: str, scale: int, say: Callable[[str], object]
) -> ScoredDataset | None:
    """The set itself, if one of the runs knows where it lies and it is there."""
    fault = "its results.json does not say where it lies"
    for run in runs:
        sets = {(s["set"], s["scale"]): s for s in run.record.get("sets", ())}
        place = sets.get((name, scale), {"gt": run.record.get("hr_dir")})
        spec = {side: place[side] for side in ("gt", "lq") if place.get(side)}
        if "gt" not in spec:
            continue
        # LR that the config degraded, or of what was scored from folders, is not known.
        made = (run.record.get("eval_dataset") or {}).get("make_lq", "auto")
        known = isinstance(made, str) and (name, scale) in sets
        kind = "auto" if "lq" in spec else "bicubic" if known else "none"
        try:
            return ScoredDataset(name=spec, scale=scale, make_lq=kind, cache=None)
        except UserError as error:
            fault = str(error)
    say(f"{name} x{scale} is shown without its ground truth: {fault}")
    return None
