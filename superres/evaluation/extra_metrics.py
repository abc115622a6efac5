"""Metrics beyond PSNR and SSIM, through libraries that are optional: MS-SSIM, LPIPS, DISTS, NIQE.

They follow a protocol as far as that goes: SR rounded as it says, HR fitted to SR, its borders
shaved. MS-SSIM takes the protocol's channels; LPIPS, DISTS and NIQE are defined for RGB.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from superres.errors import UserError, did_you_mean
from superres.evaluation.checks import check_pair
from superres.evaluation.protocols import Protocol, prepare_pair
from superres.imaging.colour import rgb_to_y

if TYPE_CHECKING:
    import torch

Compute = Callable[["torch.Tensor", "torch.Tensor"], Any]
"""SR and HR, (1, 3, H, W) or (1, 1, H, W), float64 in [0, 1], to the score."""

BASIC = ("psnr", "ssim")
"""What every protocol defines, and every table shows."""


@dataclass(frozen=True)
class ExtraMetric:
    """One metric.

    Attributes:
        name: as ``--metrics`` and results.json have it.
        title: as tables have it.
        better: 'higher' or 'lower'.
        text: what it is, and of which library.
        luma: whether it is taken of Y under protocols that score Y.
        needs: (library, what to install for it).
        load: (device) to the function that scores; weights may be fetched here.
    """

    name: str
    title: str
    better: str
    text: str
    luma: bool
    needs: tuple[str, str]
    load: Callable[[str], Compute] = field(repr=False)

    def line(self) -> str:
        """What tables print beneath themselves."""
        library = self.needs[0]
        with suppress(importlib.metadata.PackageNotFoundError):
            library += f" {importlib.metadata.version(library)}"
        return f"{self.title}, {self.better} is better: {self.text} [{library}]"


def _ms_ssim(device: str) -> Compute:
    from torchmetrics.functional.image import (
        multiscale_structural_similarity_index_measure as ms_ssim,
    )

    def compute(sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
        return ms_ssim(sr, hr, sigma=1.5, kernel_size=11, data_range=1.0)

    return compute


def _lpips(device: str, net: str) -> Compute:
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    metric = LearnedPerceptualImagePatchSimilarity(net_type=net, normalize=True).to(device)
    return partial(_once, metric)


def _dists(device: str) -> Compute:
    # The class around it would read VGG16's weights for every picture.
    from torchmetrics.functional.image.dists import DISTSNetwork

    network = DISTSNetwork().to(device).eval()
    return lambda sr, hr: network(sr.float(), hr.float())


def _once(metric: Any, sr: torch.Tensor, hr: torch.Tensor) -> torch.Tensor:
    """The score of one pair by a metric that would collect several."""
    metric.reset()
    metric.update(sr.float(), hr.float())
    return metric.compute()


def _niqe(device: str) -> Compute:
    import pyiqa

    metric = pyiqa.create_metric("niqe", device=device)
    return lambda sr, hr: metric(sr.float())


_TORCHMETRICS = ("torchmetrics", "pip install torchmetrics")
_VISION = (
    "torchmetrics",
    "pip install torchmetrics torchvision (torchvision of the same build as torch: from the "
    "same index)",
)
_PYIQA = ("pyiqa", "pip install pyiqa")

EXTRA = {
    metric.name: metric
    for metric in (
        ExtraMetric(
            "ms-ssim",
            "MS-SSIM",
            "higher",
            "Wang et al. 2003, five scales; needs more than 160 px a side after shaving",
            True,
            _TORCHMETRICS,
            _ms_ssim,
        ),
        ExtraMetric(
            "lpips",
            "LPIPS",
            "lower",
            "Zhang et al. 2018, version 0.1 on AlexNet, of RGB",
            False,
            _VISION,
            partial(_lpips, net="alex"),
        ),
        ExtraMetric(
            "lpips-vgg",
            "LPIPS-VGG",
            "lower",
            "Zhang et al. 2018, version 0.1 on VGG16, of RGB",
            False,
            _VISION,
            partial(_lpips, net="vgg"),
        ),
        ExtraMetric("dists", "DISTS", "lower", "Ding et al. 2020, of RGB", False, _VISION, _dists),
        ExtraMetric(
            "niqe",
            "NIQE",
            "lower",
            "Mittal et al. 2013, of SR alone, without HR",
            False,
            _PYIQA,
            _niqe,
        ),
    )
}
"""The optional metrics by name."""


class ExtraMetrics:
    """Some of the optional metrics, loaded: what is missing is missed here, before any work.

    Args:
        names: of :data:`EXTRA`; those of :data:`BASIC` may stand among them.
        device: where networks run.

    Raises:
        UserError: an unknown name, a library that is absent or broken, weights that cannot be had.
    """

    def __init__(self, names: Iterable[str], device: str = "cpu") -> None:
        self.metrics = [_named(name) for name in dict.fromkeys(names) if name not in BASIC]
        self.device = device
        self._compute = {metric.name: _load(metric, device) for metric in self.metrics}

    @property
    def names(self) -> list[str]:
        """In the order in which they were asked for."""
        return [metric.name for metric in self.metrics]

    def described(self) -> dict[str, dict[str, str]]:
        """For results.json: title, better and a line about each."""
        return {
            m.name: {"title": m.title, "better": m.better, "line": m.line()} for m in self.metrics
        }

    def score(
        self, sr: np.ndarray, hr: np.ndarray, scale: int, protocol: Protocol
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        """(scores, errors) of one pair by name; arguments as of ``protocols.evaluate_pair``.

        A score that cannot be had (pictures too small for it) is None and has an error.
        """
        scores: dict[str, float | None] = dict.fromkeys(self.names)
        errors: dict[str, str] = {}
        if not self.metrics:
            return scores, errors
        try:
            pairs = _tensors(sr, hr, scale, protocol, self.device)
        except UserError as error:
            return scores, dict.fromkeys(self.names, str(error))
        import torch

        for metric in self.metrics:
            pair = pairs[metric.luma]
            if metric.name == "ms-ssim" and min(pair[0].shape[2:]) <= 160:
                errors[metric.name] = "MS-SSIM needs more than 160 px a side after shaving"
                continue
            try:
                with torch.inference_mode():
                    value = float(self._compute[metric.name](*pair))
            except (RuntimeError, ValueError, AssertionError) as error:
                height, width = pair[0].shape[2:]
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                errors[metric.name] = f"{metric.title} of {width}x{height} failed: {reason}"
                continue
            if math.isfinite(value):
                scores[metric.name] = value
            else:
                errors[metric.name] = f"{metric.title} is {value}"
        return scores, errors


def _named(name: str) -> ExtraMetric:
    if name in EXTRA:
        return EXTRA[name]
    known = [*BASIC, *EXTRA]
    near = did_you_mean(name, known)
    raise UserError(f"unknown metric {name!r}{near}; known are {', '.join(known)}")


def _load(metric: ExtraMetric, device: str) -> Compute:
    library, install = metric.needs
    try:
        return metric.load(device)
    except ModuleNotFoundError as error:
        lacking = f"{error.name or library}, which is not installed or not whole"
        raise UserError(
            f"{metric.name} needs {lacking} ({error}): {install}, or leave it out of the metrics"
        ) from None
    except OSError as error:  # of urllib, requests and the file system
        raise UserError(
            f"{metric.name} needs weights that are fetched on first use, and they cannot be had: "
            f"{error}. Run it once with network access, copy the cache folder "
            f"({_cache_folder()}) from a machine that has it, or leave it out of the metrics"
        ) from None
    except (ImportError, RuntimeError, AttributeError) as error:
        raise UserError(
            f"{metric.name} needs {library}, which is broken here: {error}. Packages that do not "
            f"fit each other are the usual reason; {install}"
        ) from None


def _cache_folder() -> str:
    import torch

    return torch.hub.get_dir()


def _tensors(
    sr: np.ndarray, hr: np.ndarray, scale: int, protocol: Protocol, device: str
) -> dict[bool, tuple[torch.Tensor, torch.Tensor]]:
    """SR and HR as tensors in [0, 1]: False has RGB, True the protocol's channels."""
    sr, hr, channel = prepare_pair(sr, hr, scale, protocol)
    if sr.ndim == 2 and protocol.channel == "y" and channel == "rgb":
        raise UserError("the classical bicubic row is luma alone; it has PSNR and SSIM only")
    sr, hr, peak = check_pair(sr, hr, channel, protocol.border(scale), None)
    if sr.ndim == 2:
        sr, hr = (np.repeat(x[:, :, None], 3, axis=2) for x in (sr, hr))
    pairs = {False: (sr, hr), True: (sr, hr)}
    if channel == "y":
        options = {"weights": protocol.luma, "rounded": protocol.round_y}
        pairs[True] = tuple(rgb_to_y(x, **options)[:, :, None] for x in (sr, hr))
    return {key: tuple(_tensor(x, peak, device) for x in pair) for key, pair in pairs.items()}


def _tensor(picture: np.ndarray, peak: float, device: str) -> torch.Tensor:
    import torch

    picture = np.ascontiguousarray(picture.transpose(2, 0, 1), dtype=np.float64) / peak
    return torch.from_numpy(picture)[None].clamp_(0, 1).to(device)
