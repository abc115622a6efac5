"""Whether a results.json is one: people merge files of other machines, versions and editors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

SCHEMA = 1

_ENTRY = {"method": str, "set": str, "scale": int, "protocol": str, "images": list}
_LISTS = ("baselines", "sets", "costs", "runtime")
_PUBLISHED = ("method", "psnr", "ssim", "source")


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
    for key in ("checkpoint", "eval_dataset", "inference", "metrics"):
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
        if not isinstance(line.get("set"), str) or not isinstance(line.get("scale"), int):
            return "a set has no name or scale"
        if not isinstance(line.get("lq_fingerprint") or {}, dict):
            return "an 'lq_fingerprint' is no object"
    for line in (*record.get("costs", []), *record.get("runtime", [])):
        if not isinstance(line.get("scale"), int):
            return "a line of 'costs' or 'runtime' has no scale"
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
        if not isinstance(entry[key], kind):
            return f"{key} = {str(entry[key])[:40]!r} of {where} is of another type"
    if entry["protocol"] not in protocols:
        return f"protocol {entry['protocol']!r} is not described"
    notes = entry.get("notes", [])
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        return f"the notes of {where} are no list of texts"
    published = entry.get("published")
    if published is not None:
        if not isinstance(published, dict) or any(key not in published for key in _PUBLISHED):
            return f"the published score of {where} is not whole"
        if not all(map(_is_score, (published["psnr"], published["ssim"]))):
            return f"the published score of {where} is no number"
    for image in entry["images"]:
        if not isinstance(image, dict) or not {"name", "psnr", "ssim"} <= set(image):
            return f"an image of {where} has no name, psnr or ssim"
        if not isinstance(image["name"], str):
            return f"the name {image['name']!r} of an image of {where} is no text"
    names = [image["name"] for image in entry["images"]]
    if len(set(names)) < len(names):
        return f"two images of {where} have the same name"
    for scored in (entry, *entry["images"]):
        for key in scores:
            if not _is_score(scored.get(key)):
                return f"{key} = {scored[key]!r} of {where} is no number"
    return ""


def _is_score(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


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
