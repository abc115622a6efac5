"""The model of results.json: what stands in it, and whether a file is one.

People merge files of other machines, versions and editors, so keys that this package reads are
checked; further keys are left alone. null is what is not known. Numbers are unrounded; infinity,
which JSON has not, is null with ``"psnr_note": "inf"`` beside it.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints, is_typeddict

SCHEMA = 1
_LARGEST = 1e18

Score = float | None


class Image(TypedDict):
    """An image's scores: psnr (in dB), ssim, and further metrics by their names.

    ``psnr`` is null where it was not scored, for the reason in ``error``; ``metric_errors`` has
    those of further metrics. ``seconds`` are of the network and of moving the image. Also:
    memory_mb, inference (tiles and the like), sr_sha256 (of the saved result's shape, type and
    samples).
    """

    name: str
    psnr: Score
    ssim: Score
    error: NotRequired[str]
    metric_errors: NotRequired[dict[str, str]]
    seconds: NotRequired[Score]


class Published(TypedDict):
    """The published score of a cell, from ``source``, the publication. Also: note.

    ``difference`` is ours less theirs, psnr and ssim: infinite where ours is, null where ours is
    of some images only.
    """

    method: str | None
    psnr: Score
    ssim: Score
    source: str | None
    difference: NotRequired[dict[str, Score] | None]


class Result(TypedDict):
    """A cell of a table: means over the images that were scored.

    Further metrics stand beside psnr and ssim. ``runs`` and the deviations are of merged runs.
    Also: role ("validation" or "test").
    """

    method: str
    set: str
    scale: int
    protocol: str
    psnr: Score
    ssim: Score
    images: list[Image]
    psnr_std: NotRequired[Score]
    ssim_std: NotRequired[Score]
    runs: NotRequired[Score]
    notes: NotRequired[list[str]]
    published: NotRequired[Published | None]


class TestSet(TypedDict):
    """A set at a scale. ``lq_fingerprint`` is of what was fed to the method: its sha256, and how
    it was made. Also: gt and lq (where they lie; null where LR was made), images (how many), error.
    """

    set: str
    scale: int
    lq_fingerprint: NotRequired[dict[str, Any] | None]


class Described(TypedDict):
    """A protocol's fields, or a further metric's, and the ``line`` that tables print of it."""

    line: str
    title: NotRequired[str]


class Record(TypedDict):
    """The whole file. ``protocols`` and ``metrics`` are by name.

    Also: versions, device, threads, memory_means, iter, format (of the weights), parameters,
    network, published_network (method, and by what it was known), train_set, seed, selection (by
    what best.pth was chosen), eval_dataset, inference, comparison (of a table);
    costs (parameters and operations per scale, of an image of 1280x720: flops, flops_input);
    runtime (seconds and memory_mb per set and scale); of ``superres score``: sr_dir, hr_dir.
    """

    schema: int
    results: list[Result]
    protocols: dict[str, Described]
    baselines: NotRequired[list[Result]]
    metrics: NotRequired[dict[str, Described] | None]
    checkpoint: NotRequired[dict[str, str | None] | None]
    sets: NotRequired[list[TestSet]]


Entry = Mapping[str, Any]
"""A :class:`Result`, with further metrics by their names."""


def entries_of(record: Mapping[str, Any]) -> list[Any]:
    """The baselines, then the results of a record."""
    return [*record.get("baselines", ()), *record["results"]]


_FOLDERS = re.compile(r"(?<![\w.~:/\\-])(?:[A-Za-z]:)?[/\\](?:[^/\\\s'\"<>|]+[/\\])+(?=[^\s/\\])")


def without_folders(value: Any) -> Any:
    """A copy of plain data with the absolute paths in its texts shortened to the last name.

    >>> without_folders(["cannot read /home/me/photos/a.png (38.27 / 0.96)"])
    ['cannot read a.png (38.27 / 0.96)']
    """
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **without_folders(vars(value)))
    if isinstance(value, Mapping):
        return {key: without_folders(of) for key, of in value.items()}
    return [*map(without_folders, value)] if isinstance(value, list | tuple) else value


def fault_of(record: Any) -> str:
    """What is wrong with a record, the first fault; empty where nothing is."""
    if isinstance(record, dict) and record.get("schema", SCHEMA) != SCHEMA:
        return f"its schema is {record['schema']!r}, this version reads {SCHEMA}"
    return next(_faults(record, Record, ""), "") or next(_contradictions(record), "")


_fields = functools.cache(get_type_hints)
_NAMES = {str: "text", float: "number", int: "whole number", list: "list", dict: "object"}


def _faults(value: Any, kind: Any, where: str) -> Iterator[str]:
    """The faults of a value that should be of a kind: a type of JSON, or an object of this file."""
    if type(None) in get_args(kind):
        if value is None:
            return
        kind = get_args(kind)[0]
    plain = dict if is_typeddict(kind) else get_origin(kind) or kind
    if plain is Any:
        return
    if plain in (int, float):  # JSON knows whole numbers of any size, which sums cannot take
        good = type(value) in (int, plain) and not _LARGEST <= abs(value) < math.inf
    else:
        good = isinstance(value, plain)
    if not good:
        yield f"{where or 'the file'} is {str(value)[:40]!r}, no {_NAMES[plain]} that can be here"
    elif is_typeddict(kind):
        for key, of in _fields(kind).items():
            if key in value:
                yield from _faults(value[key], of, f"{where}.{key}".lstrip("."))
            elif key in kind.__required_keys__:
                yield f"{where or 'the file'} has no {key}"
    elif of := get_args(kind):
        for key, part in value.items() if plain is dict else enumerate(value):
            yield from _faults(part, of[-1], f"{where}[{key!r}]")


def _contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """What parts of a record say against each other."""
    if not record["results"]:
        yield "it has no results in it"
    for entry in entries_of(record):
        where = f"{entry['method']} on {entry['set']}"
        if entry["protocol"] not in record["protocols"]:
            yield f"the protocol {entry['protocol']!r} of {where} is not described"
        if len({image["name"] for image in entry["images"]}) < len(entry["images"]):
            yield f"two images of {where} have the same name"
        for key in record.get("metrics") or ():
            for scored in (entry, *entry["images"]):
                yield from _faults(scored.get(key), Score, f"{key} of {where}")
