"""The command ``superres``: one word, then that command's own arguments."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import os
import pkgutil
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import superres.cli
from superres.errors import UserError, did_you_mean
from superres.output import drop_output, open_missing, printable
from superres.stopping import TERMINATED, Terminated, terminable

GROUPS = {
    "Use": "upscale serve models export convert",
    "Train": "quickstart train runs print-config convert-config",
    "Measure": "test score table report",
    "Data": "data",
}
"""Commands as ``superres --help`` groups them; others stand in a group of their own."""

_MOVED = {
    "benchmark": "in a checkout: python tools/benchmark.py",
    "scaling": "the page docs/scaling.md",
    "models gallery": "the page docs/gallery.md",
    "models record": "in a checkout: python tools/maintain/docs.py --help",
    "models metafile": "in a checkout: python tools/maintain/docs.py",
    "table --docs": "in a checkout: python tools/maintain/docs.py",
}
"""Earlier commands, by their first words."""

_OF_PLACES = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors that are of the place that a user named, whoever wanted to write or read there."""


def commands() -> list[str]:
    """The names of all commands: the modules of this folder."""
    names = (m.name for m in pkgutil.iter_modules(superres.cli.__path__))
    return sorted(n.replace("_", "-") for n in names if n != "main" and n[0] != "_")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    if "_ARGCOMPLETE" in os.environ:  # the shell asks, see docs/index.md
        _complete()
    argv = list(sys.argv[1:] if argv is None else argv)
    return exit_code(lambda: _run(argv))


def exit_code(work: Callable[[], int]) -> int:
    """Do a command's work; returns its exit code.

    0 done, 1 some items failed, 2 the user's mistake, 130 interrupted, 143 terminated. A mistake
    of the user's is one message; a traceback means that the program itself is at fault.
    """
    open_missing()
    if getattr(sys.stdout, "errors", "") == "strict" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names may hold undecodable bytes
    try:
        with terminable():
            code = work()
            sys.stdout.flush()  # here, where a full disk can still be told
        return code
    except UserError as error:
        if os.environ.get("SUPERRES_TRACEBACK"):
            traceback.print_exc()
        return _tell(str(error))
    except ImportError as error:
        return _tell(_explain_import(error))
    except KeyboardInterrupt as error:
        terminated = isinstance(error, Terminated)
        with contextlib.suppress(OSError):  # of a terminal that has gone
            print("terminated" if terminated else "interrupted", file=sys.stderr)
        return TERMINATED if terminated else 130
    except BrokenPipeError:
        drop_output()  # its reader has gone
        return 0
    except OSError as error:
        name = os.fsdecode(error.filename or "")
        if name and error.errno in _OF_PLACES:
            return _tell(f"{name[:200]}: {error.strerror}")
        # Others with a file's name are faults of ours.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT) or name:
            raise
        drop_output()
        return _tell("the output could not be written: no space is left where it goes")


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        print(f"superres {superres.__version__}")
        return 0
    name = argv[0]
    for earlier in (name, " ".join(argv[:2])):
        if earlier in _MOVED:
            raise UserError(f"superres {earlier} has moved: {_MOVED[earlier]}")
    if name not in commands():
        hint = did_you_mean(name, commands()) or f": {', '.join(commands())}"
        raise UserError(f"superres has no command {name!r}{hint}")
    try:
        os.getcwd()
    except OSError:  # libraries fail in it, and hardly say why
        raise UserError("the current folder is gone; go to another one: cd") from None
    module = _module(name)
    parser = argparse.ArgumentParser(
        prog=f"superres {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    try:
        args = parser.parse_args(argv[1:])
    except SystemExit as stop:  # argparse has printed its message
        return int(stop.code or 0)
    return module.run(args)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"superres.cli.{name.replace('-', '_')}")


def _tell(message: str) -> int:
    """Print a mistake; returns its exit code."""
    rank = os.environ.get("RANK", "0")
    if rank != "0" and "SUPERRES_JOINED" not in os.environ:
        return 2  # a wrong option or config: rank 0 says the same
    where = f" [rank {rank}]" if rank != "0" else ""
    # What a file or its name holds must not command the terminal.
    # Where it cannot be told, a full disk or a closed terminal, the exit code still says it.
    with contextlib.suppress(OSError):
        print(f"error{where}: {printable(message)}", file=sys.stderr, flush=True)
    return 2


def _explain_import(error: ImportError) -> str:
    """A missing package or system library, as a message; a fault of our own is raised again."""
    frames = traceback.extract_tb(error.__traceback__)
    from_cv2 = any(f"{os.sep}cv2{os.sep}" in f.filename for f in frames)
    if from_cv2 or ".so" in str(error) or error.name == "cv2":
        from superres.imaging._cv2 import explain_import_error

        return explain_import_error(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("superres"):
        package = {"mmcv": "mmcv-lite"}.get(error.name, error.name)
        do = "this needs all of superres: pip install . in its folder (without PyTorch there is "
        do += "upscaling with the networks that come with it)"
        if package == "torch":
            do = "pip install torch, or another of its builds: https://pytorch.org"
        return f"the package {package!r} is not installed here ({sys.executable}); {do}"
    raise error


def _overview() -> str:
    lines, rest = ["usage: superres COMMAND [arguments]"], commands()
    wrap = textwrap.TextWrapper(max(shutil.get_terminal_size().columns, 40))
    wrap.subsequent_indent, wrap.break_on_hyphens = " " * 17, False
    folder = Path(superres.cli.__path__[0])
    for group, words in {**GROUPS, "Other": " ".join(rest)}.items():
        lines += ["", f"{group}:"]
        for name in [word for word in words.split() if word in rest]:
            rest.remove(name)
            file = folder / f"{name.replace('-', '_')}.py"
            # Read, not imported, which takes longer than all else together.
            first = file.read_text(encoding="utf-8").partition("\n")[0]
            lines += wrap.wrap(f"  {name:<14} {first.strip(chr(34))}")
    return "\n".join([*lines, "", "superres COMMAND --help tells more."])


def _complete() -> None:
    """Answer a shell that completes words of a command line."""
    import argcomplete

    parser = argparse.ArgumentParser("superres")
    words = parser.add_subparsers()
    for name in commands():
        _module(name).add_arguments(words.add_parser(name))
    argcomplete.autocomplete(parser)
