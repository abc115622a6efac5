"""The model of results.json: what stands in it, and whether a file is one.

People merge files of other machines, versions and editors, so keys that this package reads are
checked; further keys are left alone. null is what is not known. Numbers are unrounded; infinity,
which JSON has not, is null with ``"psnr_note": "inf"`` beside it.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, NotRequired, TypedDict, get_args, get_origin, get_type_hints

SCHEMA = 1
_LARGEST = 1e18

Score = float | None
Scale = Annotated[int, range(1, 1001)]


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


class Difference(TypedDict, total=False):
    """Ours less a published score; infinite where ours is."""

    psnr: Score
    ssim: Score


class Published(TypedDict):
    """The published score of a cell, from ``source``, the publication. Also: note.

    ``difference`` is ours less theirs; null where ours is of some images only.
    """

    method: str | None
    psnr: Score
    ssim: Score
    source: str | None
    difference: NotRequired[Difference | None]


class Result(TypedDict):
    """A cell of a table: means over the images that were scored.

    Further metrics stand beside psnr and ssim. ``runs`` and the deviations are of merged runs.
    Also: role ("validation" or "test").
    """

    method: str
    set: str
    scale: Scale
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
    scale: Scale
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


def fault_of(record: Any) -> str:
    """What is wrong with a record, the first fault; empty where nothing is."""
    if isinstance(record, dict) and record.get("schema", SCHEMA) != SCHEMA:
        return f"its schema is {record['schema']!r}, this version reads {SCHEMA}"
    return next(_faults(record, Record, ""), "") or next(_contradictions(record), "")


_fields = functools.cache(functools.partial(get_type_hints, include_extras=True))
_NAMES = {str: "text", float: "number", int: "whole number", list: "list", dict: "object"}


def _faults(value: Any, kind: Any, where: str) -> Iterator[str]:
    """The faults of a value that should be of a kind: a type of JSON, an object or several."""
    if get_origin(kind) is NotRequired:
        (kind,) = get_args(kind)
    if type(None) in get_args(kind):
        if value is None:
            return
        kind = get_args(kind)[0]
    kind, allowed = get_args(kind) if get_origin(kind) is Annotated else (kind, None)
    model = hasattr(kind, "__required_keys__")
    plain = dict if model else get_origin(kind) or kind
    if plain is Any:
        return
    if plain in (int, float):  # JSON knows whole numbers of any size, which sums cannot take
        good = type(value) is int or (plain is float and type(value) is float)
        good = good and not _LARGEST <= abs(value) < math.inf
    else:
        good = isinstance(value, plain) and "\0" not in value  # which no path holds
    if not good or (allowed is not None and value not in allowed):
        yield f"{where or 'the file'} is {str(value)[:40]!r}, no {_NAMES[plain]} that can be here"
    elif model:
        for key, of in _fields(kind).items():
            if key in value:
                yield from _faults(value[key], of, f"{where}.{key}".lstrip("."))
            elif key in kind.__required_keys__:
                yield f"{where or 'the file'} has no {key}"
    elif plain in (list, dict) and (of := get_args(kind)):
        for key, part in value.items() if plain is dict else enumerate(value):
            yield from _faults(part, of[-1], f"{where}[{key!r}]")


def _contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """What parts of a record say against each other."""
    metrics = list(record.get("metrics") or {})
    if not record["results"]:
        yield "it has no results in it"
    for entry in (*record.get("baselines", ()), *record["results"]):
        where = f"{entry['method']} on {entry['set']}"
        if entry["protocol"] not in record["protocols"]:
            yield f"the protocol {entry['protocol']!r} of {where} is not described"
        if len({image["name"] for image in entry["images"]}) < len(entry["images"]):
            yield f"two images of {where} have the same name"
        for scored in (entry, *entry["images"]):
            for key in metrics:
                yield from _faults(scored.get(key), Score, f"{key} of {where}")


def mean_of(images: Iterable[Mapping[str, Any]], key: str) -> float | None:
    """The mean over the images that were scored and have this score; None where none has."""
    known = [i[key] for i in images if i["psnr"] is not None and i.get(key) is not None]
    return math.fsum(known) / len(known) if known else None


def wrong_means(entry: Mapping[str, Any]) -> list[str]:
    """What to say of an entry whose scores are not the means of its images' scores.

    A mean over several runs is left out: it is of images that not every run may have.
    """
    found = {key: (entry[key], mean_of(entry["images"], key)) for key in ("psnr", "ssim")}
    return [
        f"{key.upper()} {told} in the file is not the mean of its images, {mean}: the file was "
        "changed, do not trust it"
        for key, (told, mean) in found.items()
        if "runs" not in entry
        and told != mean
        and (None in (told, mean) or not math.isclose(told, mean, rel_tol=1e-9))
    ]
