"""A network of torch as a program of another runtime: convert once, check, keep."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

from torch import nn

from superres.inference.backends import cache, conversion
from superres.inference.backends.base import NotConvertible, Program, one_line
from superres.inference.backends.pytorch import facts

logger = logging.getLogger("superres")


def convert(kind: type[Program], model: nn.Module) -> Program:
    """The network as a program, from the cache or converted now.

    It is made once for all image sizes, compared with PyTorch on images of two sizes and kept in
    the cache under a hash of its operations, its weights and the versions.

    Args:
        model: any network with ``scale``; it is copied.

    Raises:
        NotConvertible: the runtime lacks an operation, its result differs, its package is broken,
            or there is no room for its file.
    """
    program = kind(*facts(model))
    try:
        versions = kind.versions()
    except Exception as error:  # a broken package raises anything
        raise NotConvertible(f"it cannot be imported ({one_line(error)})") from error
    traced = conversion.trace(model)
    key = f"{kind.name}-{conversion.fingerprint(traced, *versions)}"
    entry = cache.find(key)
    if entry is not None:
        try:
            program.load(entry / kind.file)
            return program
        except Exception as error:  # whatever a runtime makes of a file it does not like
            logger.info("%s: made again, because it cannot be loaded (%s)", entry, error)
            cache.forget(key)
    reference = copy.deepcopy(model).cpu().float().eval()
    example = conversion.picture(program.in_channels, (24, 20))

    def write(folder: Path) -> None:
        kind.write(traced, example, folder / kind.file)
        try:
            program.load(folder / kind.file)
        except Exception as error:
            raise NotConvertible(f"it cannot be loaded ({one_line(error)})") from error
        conversion.check(reference, program)

    try:
        cache.store(key, write)
    except OSError as error:
        raise NotConvertible(f"it cannot be written ({error.strerror or error})") from error
    return program
