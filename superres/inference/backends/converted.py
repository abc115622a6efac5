"""What ONNX Runtime and OpenVINO have in common: convert once, check, keep, run."""

from __future__ import annotations

import copy
import logging
import threading
from pathlib import Path

import torch
from torch import nn

from superres.errors import UserError
from superres.inference.backends import cache, conversion
from superres.inference.backends.base import Backend
from superres.inference.backends.conversion import NotConvertible, one_line

logger = logging.getLogger("superres")


class ConvertedBackend(Backend):
    """A network as a program of another runtime, on the CPU, in float32.

    The program is made once for all picture sizes, compared with PyTorch on pictures of two
    sizes and kept in the cache under a hash of its operations, its weights and the versions.

    Args:
        model: any network with ``scale``; it is copied.
        device: the CPU.

    Raises:
        NotConvertible: the runtime lacks an operation, its result differs, its package is broken,
            or there is no room for its file.
        UserError: another device.
    """

    file: str

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        if device.type != "cpu":
            raise UserError(f"back end {self.name!r} runs on the CPU only, not on {device}")
        super().__init__(model, device)
        self._lock = threading.Lock()
        try:
            versions = self._versions()
        except Exception as error:  # a broken package raises anything
            raise NotConvertible(f"it cannot be imported ({one_line(error)})") from error
        traced = conversion.trace(model)
        key = f"{self.name}-{conversion.fingerprint(traced, *versions)}"
        entry = cache.find(key)
        if entry is not None:
            try:
                self._load(entry / self.file)
                return
            except Exception as error:  # whatever a runtime makes of a file it does not like
                logger.info("%s: made again, because it cannot be loaded (%s)", entry, error)
                cache.forget(key)
        reference = copy.deepcopy(model).cpu().float().eval()
        example = conversion.picture(conversion.in_channels(model), (24, 20))

        def write(folder: Path) -> None:
            self._write(traced, example, folder / self.file)
            try:
                self._load(folder / self.file)
            except Exception as error:
                raise NotConvertible(f"it cannot be loaded ({one_line(error)})") from error
            conversion.check(reference, self)

        try:
            cache.store(key, write)
        except OSError as error:
            raise NotConvertible(f"it cannot be written ({error.strerror or error})") from error

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        x = x.detach().to("cpu", torch.float32).contiguous()
        with self._lock:
            return self._run(x)

    def _versions(self) -> tuple[str, ...]:
        """Versions that the program depends on."""
        raise NotImplementedError

    def _write(self, traced: torch.jit.ScriptModule, example: torch.Tensor, path: Path) -> None:
        raise NotImplementedError

    def _load(self, path: Path) -> None:
        raise NotImplementedError

    def _run(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError
