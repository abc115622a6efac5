"""Scores of an image: PSNR and SSIM, and what a run asks for beside them, of the user's own too."""

from __future__ import annotations

import importlib.metadata
import inspect
import itertools
import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from superres.errors import UserError, did_you_mean
from superres.evaluation.metrics import BASIC
from superres.evaluation.protocols import Protocol, compared
from superres.evaluation.record import Image, Result
from superres.registry import METRICS, registered

_TAKEN = {*Result.__annotations__, *Image.__annotations__}


class ExtraMetrics:
    """Some metrics, loaded: what is missing is missed here, before any work.

    Args:
        wanted: as a config's ``metrics``: names (also several in a text, with commas), dicts of
            ``type`` and arguments, or a list of them; PSNR and SSIM, which are always there, may
            stand among them. In results a metric goes by its attribute ``name``, else by its type.
        device: where networks run.

    Raises:
        UserError: an unknown name, a library that is absent or broken, weights that cannot be
            had, or arguments that a metric refuses.
    """

    def __init__(self, wanted: Any, device: str = "cpu") -> None:
        self._metrics: dict[str, Any] = {}
        specs = wanted if isinstance(wanted, list | tuple) else [wanted]
        texts = [s.replace(",", " ").split() if isinstance(s, str) else [s] for s in specs]
        specs = list(itertools.chain(*texts))
        for number, spec in enumerate(specs):
            options = {**spec} if isinstance(spec, Mapping) else {"type": spec}
            kind = options.pop("type", None)
            if kind in BASIC or spec in specs[:number]:
                continue
            metric = _made(kind, options, device)
            name = getattr(metric, "name", kind)
            if name in self._metrics or name in _TAKEN:
                raise UserError(
                    f"metrics: {name!r} is taken in results.json; give the metric of type {kind!r} "
                    "another attribute name"
                )
            self._metrics[name] = metric

    @property
    def names(self) -> list[str]:
        """In the order in which they were asked for."""
        return [*self._metrics]

    def described(self) -> dict[str, dict[str, str]]:
        """For results.json: title, better and a line about each."""
        return {name: _described(name, metric) for name, metric in self._metrics.items()}

    def row(self, protocol: Protocol, sr: np.ndarray, hr: np.ndarray, scale: int) -> dict[str, Any]:
        """What results.json says of an image by one protocol, but for its name.

        Args:
            sr, hr, scale: as of :func:`superres.evaluation.protocols.evaluate_pair`.

        Returns:
            ``psnr``, ``ssim`` (None, and an ``error``, where it cannot be scored), further metrics,
            and ``notes`` on what was done to it. A further score that cannot be computed (too small
            images, a metric that fails or returns no finite number) is None, for the reason in
            ``metric_errors``.
        """
        try:
            pair = compared(sr, hr, scale, protocol)
            row: dict[str, Any] = {name: METRICS.module_dict[name](*pair) for name in BASIC}
        except UserError as error:
            return unscored(str(error))
        errors = {}
        for name, metric in self._metrics.items():
            try:
                value = metric(*pair)
                value = value.item() if hasattr(value, "item") else value
                if not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"it gave {repr(value)[:40]} instead of a finite number")
                row[name] = float(value)
            except Exception as error:  # a library, or the user's own code
                height, width = pair[0].shape[:2]
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                errors[name] = f"{name} of {width}x{height} failed: {reason}"
                row[name] = None
        if protocol.on_mismatch == "resize" and sr.shape[:2] != hr.shape[:2]:
            row["notes"] = ["HR was resized, which raises the score"]
        return {**row, **({"metric_errors": errors} if errors else {})}


def unscored(error: str) -> dict[str, Any]:
    """The row of an image without scores."""
    return {"psnr": None, "ssim": None, "error": error}


def _made(kind: Any, options: Mapping[str, Any], device: str) -> Any:
    found = registered(METRICS, kind)
    if found is None:
        known = [*METRICS.module_dict]
        raise UserError(
            f"unknown metric {kind!r}{did_you_mean(kind, known)}; known are {', '.join(known)}. "
            "One of your own is imported with custom_imports, or SUPERRES_IMPORTS=MODULE"
        )
    if inspect.isfunction(found):
        return partial(found, **options)
    try:
        if "device" in inspect.signature(found).parameters:
            options = {"device": device, **options}
        return found(**options)
    except Exception as error:  # a library, or the user's own code
        library, extra = getattr(found, "needs", ("", ""))
        needs = (
            f" (it needs {library}, built for this torch: pip install 'superres[{extra}]'; weights "
            "are fetched on first use: run it once with network access, or leave it out)"
        )
        raise UserError(f"metrics: {kind}: {error}{needs * bool(library)}") from error


def _described(name: str, metric: Any) -> dict[str, str]:
    """A metric's title and, where it says so, which way is better; and what tables print of it."""
    of = metric.func if isinstance(metric, partial) else metric
    title, better = getattr(of, "title", name), getattr(of, "better", "")
    text = getattr(of, "text", "") or (inspect.getdoc(of) or "a metric of your own").split("\n")[0]
    line = f"{title}{f', {better} is better' if better else ''}: {text}"
    with suppress(AttributeError, importlib.metadata.PackageNotFoundError):
        line += f" [{of.needs[0]} {importlib.metadata.version(of.needs[0])}]"
    return {"title": title, "better": better, "line": line}
