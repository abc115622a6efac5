"""Whether a results.json is one: people merge files of other machines, versions and editors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SCHEMA = 1

_ENTRY = {"method": str, "set": str, "scale": int, "protocol": str, "images": list}
_LISTS = ("baselines", "sets", "costs", "runtime")
_LARGEST = 1e18
_LARGEST_SCALE = 1000
_SECONDS = ("total", "median")
_PUBLISHED = ("method", "psnr", "ssim", "source")


def _is_text(value: Any) -> bool:
    """Text that may be a path; no path holds a null."""
    return isinstance(value, str) and "\0" not in value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_scale(value: Any) -> bool:
    return _is_whole(value) and 0 < value <= _LARGEST_SCALE


_OPTIONAL = {
    "config": _is_text,
    "device": _is_text,
    "memory_means": _is_text,
    "sr_dir": _is_text,
    "hr_dir": _is_text,
    "iter": _is_whole,
    "parameters": _is_whole,
    "checkpoint": lambda value: (
        isinstance(value, dict) and all(_is_text(value.get(k, "")) for k in ("path", "sha256"))
    ),
}


def fault_of(record: Any) -> str:
    """What is wrong with the shape of a record; empty where nothing is."""
    if not isinstance(record, dict) or not isinstance(record.get("results"), list):
        return "it has no list 'results'"
    if record.get("schema") != SCHEMA:
        return f"its schema is {record.get('schema')!r}, this version reads {SCHEMA}"
    if not record["results"]:
        return "it has no results in it"
    for key in _LISTS:
        lines = record.get(key, [])
        if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
            return f"{key!r} is no list of objects"
    for key in ("checkpoint", "eval_dataset", "inference", "metrics", "network"):
        if not isinstance(record.get(key) or {}, dict):
            return f"{key!r} is no object"
    protocols = record.get("protocols")
    if not isinstance(protocols, dict):
        return "it has no 'protocols'"
    for name, rules in protocols.items():
        if not isinstance(rules, dict) or not isinstance(rules.get("line"), str):
            return f"protocol {name!r} is not described"
    for name, of in (record.get("metrics") or {}).items():
        if not isinstance(of, dict) or not {"title", "line"} <= set(of):
            return f"metric {name!r} is not described"
    for line in record.get("sets", []):
        if not isinstance(line.get("set"), str) or not _is_scale(line.get("scale")):
            return "a set has no name or scale"
        fingerprint = line.get("lq_fingerprint") or {}
        if not isinstance(fingerprint, dict):
            return "an 'lq_fingerprint' is no object"
        texts = (line.get("gt"), line.get("lq"), fingerprint.get("sha256"))
        if not all(text is None or _is_text(text) for text in texts):
            return "the paths of a set are no texts"
    for line in (*record.get("costs", []), *record.get("runtime", [])):
        if not _is_scale(line.get("scale")):
            return "a line of 'costs' or 'runtime' has no scale"
    for key, good in _OPTIONAL.items():
        if record.get(key) is not None and not good(record[key]):
            return f"{key} = {str(record[key])[:40]!r} is of another type"
    for line in (*record.get("costs", []), *record.get("runtime", [])):
        seconds = line.get("seconds")
        if not all(_is_score(line.get(key)) for key in ("parameters", "flops", "memory_mb")):
            return "a line of 'costs' or 'runtime' is of another type"
        if seconds is not None and not (
            isinstance(seconds, dict) and all(_is_number(seconds.get(k)) for k in _SECONDS)
        ):
            return "the 'seconds' of a line of 'runtime' are of another type"
    for line in record.get("costs", []):
        if None in (line.get("parameters"), line.get("flops")):
            return "a line of 'costs' has no parameters or flops"
    for line in record.get("runtime", []):
        if not isinstance(line.get("set"), str) or "seconds" not in line:
            return "a line of 'runtime' has no set or seconds"
    scores = ["psnr", "ssim", *(record.get("metrics") or {})]
    entries = [*record.get("baselines", []), *record["results"]]
    faults = (_entry_fault(entry, protocols, scores) for entry in entries)
    return next(filter(None, faults), "")


def _entry_fault(entry: Any, protocols: Mapping[str, Any], scores: list[str]) -> str:
    if not isinstance(entry, dict):
        return "an entry is no object"
    lacking = [key for key in (*_ENTRY, "psnr", "ssim") if key not in entry]
    if lacking:
        return f"an entry has no {', '.join(lacking)}"
    where = f"{entry['method']} on {entry['set']}"
    for key, kind in _ENTRY.items():
        if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
            return f"{key} = {str(entry[key])[:40]!r} of {where} is of another type"
    if not _is_scale(entry["scale"]):
        return f"scale = {str(entry['scale'])[:40]} of {where} is none"
    if entry["protocol"] not in protocols:
        return f"protocol {entry['protocol']!r} is not described"
    notes = entry.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return f"the notes of {where} are no list of texts"
    published = entry.get("published")
    if published is not None:
        if not isinstance(published, dict) or any(key not in published for key in _PUBLISHED):
            return f"the published score of {where} is not whole"
        difference = published.get("difference") or {}
        if not isinstance(difference, dict):
            return f"the published score of {where} is not whole"
        numbers = (published["psnr"], published["ssim"], *map(difference.get, ("psnr", "ssim")))
        if not all(map(_is_score, numbers)):
            return f"the published score of {where} is no number"
    if entry.get("psnr_std") is not None and not all(
        _is_number(entry.get(key)) for key in ("psnr_std", "ssim_std", "runs")
    ):
        return f"the deviation of {where} is no number"
    for image in entry["images"]:
        if not isinstance(image, dict) or not {"name", "psnr", "ssim"} <= set(image):
            return f"an image of {where} has no name, psnr or ssim"
        if not isinstance(image["name"], str):
            return f"the name {image['name']!r} of an image of {where} is no text"
        if not isinstance(image.get("metric_errors", {}), dict):
            return f"'metric_errors' of an image of {where} is no object"
        if not isinstance(image.get("error", ""), str) or not _is_score(image.get("seconds")):
            return f"'error' or 'seconds' of an image of {where} is of another type"
        if image["ssim"] is None and _is_number(image["psnr"]):
            return f"an image of {where} has a psnr and no ssim"
    names = [image["name"] for image in entry["images"]]
    if len(set(names)) < len(names):
        return f"two images of {where} have the same name"
    for scored in (entry, *entry["images"]):
        for key in scores:
            if not _is_score(scored.get(key)):
                return f"{key} = {repr(scored[key])[:40]} of {where} is no number"
    return ""


def _is_number(value: Any) -> bool:
    return value is not None and _is_score(value)


def _is_score(value: Any) -> bool:
    """A number that sums and formats can take, or None; JSON knows whole numbers of any size."""
    if value is None:
        return True
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and (
        abs(value) < _LARGEST or (isinstance(value, float) and not math.isfinite(value))
    )


def wrong_means(entry: Mapping[str, Any]) -> list[str]:
    """What to say of an entry whose scores are not the means of its images' scores.

    A mean over several runs is left out: it is of images that not every run may have.
    """
    if "runs" in entry:
        return []
    told = []
    for key in ("psnr", "ssim"):
        scores = [image[key] for image in entry["images"] if image[key] is not None]
        mean = math.fsum(scores) / len(scores) if scores else None
        known = None not in (mean, entry[key])
        if mean != entry[key] and not (known and math.isclose(mean, entry[key], rel_tol=1e-9)):
            told.append(
                f"{key.upper()} {entry[key]} in the file is not the mean of its images, {mean}: "
                "the file was changed, do not trust it"
            )
    return told
