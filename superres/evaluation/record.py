"""The model of results.json, and whether a file is one: people merge files of other machines,
versions and editors.

Keys that this package reads are checked. null is what is not known. Numbers are unrounded;
infinity, which JSON has not, is null with ``"psnr_note": "inf"`` beside it. Further keys are left
alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

SCHEMA = 1
_LARGEST, _LARGEST_SCALE = 1e18, 1000


def _is_score(value: Any) -> bool:
    """A number that sums and formats can take, or None; JSON knows whole numbers of any size."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_number(value: Any) -> bool:
    return value is not None and _is_score(value)


def _is_scale(value: Any) -> bool:
    return isinstance(value, int) and _is_score(value) and 0 < value <= _LARGEST_SCALE


def _is_text(value: Any) -> bool:
    """Text that may be a path, which holds no null; or None."""
    return value is None or (isinstance(value, str) and "\0" not in value)


def _list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(part, kind) for part in value)


class _Kind(NamedTuple):
    """What a value must be, and what is said of another one."""

    good: Callable[[Any], bool]
    wrong: str = "{key} = {text!r} of {where} is of another type"


_STRING = _Kind(lambda value: isinstance(value, str))
_TEXT = _Kind(_is_text)
_PATH = _Kind(_is_text, "the paths of {where} are no texts")
_NOTES = _Kind(_list_of(str), "the {key} of {where} are no list of texts")
_WHOLE = _Kind(lambda value: _is_score(value) and not isinstance(value, float))
_NUMBER = _Kind(_is_number)
_SCORE = _Kind(_is_score, "{key} = {value:.40} of {where} is no number")
_SCALE = _Kind(_is_scale, "{key} = {value:.40} of {where} is none")
_OBJECT = _Kind(lambda value: value is None or isinstance(value, dict), "{key!r} is no object")
_MAPPING = _Kind(lambda value: isinstance(value, dict), "{key!r} of {where} is no object")
_LIST = _Kind(lambda value: isinstance(value, list))
_OBJECTS = _Kind(_list_of(dict), "{key!r} is no list of objects")


class Model(NamedTuple):
    """An object: what is said where a needed key is missing, the needed keys, and the others."""

    lacking: str
    needed: Mapping[str, _Kind]
    optional: Mapping[str, _Kind]

    def fault(self, value: Any, where: str = "") -> str:
        """What is wrong with a value; empty where nothing is."""
        found = value if isinstance(value, dict) else {}
        missing = [key for key in self.needed if key not in found]
        if missing:
            return self.lacking.format(where=where, missing=", ".join(missing))
        for key, kind in {**self.needed, **self.optional}.items():
            if key in found and not kind.good(found[key]):
                said = {"value": repr(found[key]), "text": str(found[key])[:40]}
                return kind.wrong.format(key=key, where=where, **said)
        return ""


# Beside psnr (in dB) and ssim, images and results have the metrics of the record, by their names.
# An image has psnr null where it was not scored, for the reason in `error`; `metric_errors` has
# those of further metrics. `seconds` are of the network and of moving the image. Also: memory_mb,
# inference (tiles and the like), sr_sha256 (of the saved result's shape, type and samples).
IMAGE = Model(
    "an image of {where} has no name, psnr or ssim",
    {"name": _STRING, "psnr": _SCORE, "ssim": _SCORE},
    {"error": _STRING, "metric_errors": _MAPPING, "seconds": _SCORE},
)
# Where published scores of the cell are known. `difference`: ours less theirs, null where ours is
# of some images only. Also: source (the publication), note.
PUBLISHED = Model(
    "the published score of {where} is not whole",
    {"method": _TEXT, "psnr": _SCORE, "ssim": _SCORE, "source": _TEXT},
    {"difference": _OBJECT},
)
# One cell of a table: means over the scored images. `runs` and the deviations are of merged runs.
# Also: role ("validation" or "test").
RESULT = Model(
    "an entry has no {missing}",
    {"method": _STRING, "set": _STRING, "scale": _SCALE, "protocol": _STRING, "images": _LIST}
    | {"psnr": _SCORE, "ssim": _SCORE},
    {"psnr_std": _SCORE, "ssim_std": _SCORE, "runs": _SCORE, "notes": _NOTES}
    | {"published": _OBJECT},
)
# A set at a scale. `lq` is null where it was made from `gt`; `lq_fingerprint` has the sha256 of
# what was fed to the method, and how it was made. Also: images (how many), error.
SET = Model(
    "a set has no name or scale",
    {"set": _STRING, "scale": _SCALE},
    {"gt": _PATH, "lq": _PATH, "lq_fingerprint": _OBJECT},
)
_MISSING_COST = "a line of 'costs' or 'runtime' has no {missing}"
# What the network takes at a scale; operations of an image of 1280x720. Also: flops_input.
COST = Model(_MISSING_COST, {"scale": _SCALE, "parameters": _NUMBER, "flops": _NUMBER}, {})
# What a set took at a scale; `seconds` has the total and the median of its images.
RUNTIME = Model(
    _MISSING_COST, {"scale": _SCALE, "set": _STRING, "seconds": _OBJECT}, {"memory_mb": _SCORE}
)
SECONDS = Model(_MISSING_COST, {"total": _NUMBER, "median": _NUMBER}, {})
PROTOCOL = Model("protocol {where!r} is not described", {"line": _STRING}, {})
METRIC = Model("metric {where!r} is not described", {"title": _STRING, "line": _STRING}, {})
# The whole file. `protocols` and `metrics` are by name, with the `line` that tables print. Also:
# versions, format (of the weights), published_network (method, and by what it was known),
# train_set, seed, selection (by what best.pth was chosen), threads, comparison (of a table).
RECORD = Model(
    "it has no {missing}",
    {"schema": _WHOLE, "results": _LIST, "protocols": _MAPPING},
    {"baselines": _OBJECTS, "sets": _OBJECTS, "costs": _OBJECTS, "runtime": _OBJECTS}
    | dict.fromkeys(("checkpoint", "eval_dataset", "inference", "metrics", "network"), _OBJECT)
    | dict.fromkeys(("config", "device", "memory_means", "sr_dir", "hr_dir"), _TEXT)
    | {"iter": _WHOLE, "parameters": _WHOLE},
)


def fault_of(record: Any) -> str:
    """What is wrong with the shape of a record; empty where nothing is."""
    if not isinstance(record, dict) or not isinstance(record.get("results"), list):
        return "it has no list 'results'"
    if record.get("schema") != SCHEMA:
        return f"its schema is {record.get('schema')!r}, this version reads {SCHEMA}"
    if not record["results"]:
        return "it has no results in it"
    return RECORD.fault(record, "the record") or next(filter(None, _faults(record)), "")


def _faults(record: Mapping[str, Any]) -> Iterator[str]:
    """The faults of a record's parts."""
    texts = dict.fromkeys(("path", "sha256"), _TEXT)
    yield Model("", {}, texts).fault(record.get("checkpoint"), "the checkpoint")
    metrics = record.get("metrics") or {}
    for model, described in ((PROTOCOL, record["protocols"]), (METRIC, metrics)):
        for name, of in described.items():
            yield model.fault(of, name)
    for line in record.get("sets", ()):
        yield SET.fault(line, "a set")
        yield Model("", {}, texts).fault(line.get("lq_fingerprint"), "a set")
    for line in record.get("costs", ()):
        yield COST.fault(line, "'costs'")
    for line in record.get("runtime", ()):
        yield RUNTIME.fault(line, "'runtime'") or SECONDS.fault(line["seconds"], "'runtime'")
    scores = dict.fromkeys(metrics, _SCORE)
    for entry in (*record.get("baselines", ()), *record["results"]):
        yield "" if isinstance(entry, dict) else "an entry is no object"
        yield from _entry_faults(entry, record["protocols"], scores)


def _entry_faults(
    entry: Mapping[str, Any], protocols: Mapping[str, Any], scores: Mapping[str, _Kind]
) -> Iterator[str]:
    where = f"{entry.get('method')} on {entry.get('set')}"
    yield RESULT.fault(entry, where)
    if entry["protocol"] not in protocols:
        yield f"protocol {entry['protocol']!r} is not described"
    if (published := entry.get("published")) is not None:
        yield PUBLISHED.fault(published, where)
        differences = {"psnr": _SCORE, "ssim": _SCORE}
        yield Model("", {}, differences).fault(published.get("difference"), where)
    if entry.get("psnr_std") is not None and None in (entry.get("ssim_std"), entry.get("runs")):
        yield f"the deviation of {where} is no number"
    for image in entry["images"]:
        yield IMAGE.fault(image, where)
        if image["ssim"] is None and image["psnr"] is not None:
            yield f"an image of {where} has a psnr and no ssim"
    for scored in (entry, *entry["images"]):
        yield Model("", {}, scores).fault(scored, where)
    if len({image["name"] for image in entry["images"]}) < len(entry["images"]):
        yield f"two images of {where} have the same name"


def mean_of(images: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """The mean over the images that were scored and have this score; None where none has."""
    known = [i[key] for i in images if i["psnr"] is not None and i.get(key) is not None]
    return math.fsum(known) / len(known) if known else None


def wrong_means(entry: Mapping[str, Any]) -> list[str]:
    """What to say of an entry whose scores are not the means of its images' scores.

    A mean over several runs is left out: it is of images that not every run may have.
    """
    if "runs" in entry:
        return []
    told = []
    for key in ("psnr", "ssim"):
        mean = mean_of(entry["images"], key)
        known = None not in (mean, entry[key])
        if mean != entry[key] and not (known and math.isclose(mean, entry[key], rel_tol=1e-9)):
            told.append(
                f"{key.upper()} {entry[key]} in the file is not the mean of its images, {mean}: "
                "the file was changed, do not trust it"
            )
    return told
