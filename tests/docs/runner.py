"""Runs the blocks of a page, or checks the command lines of those that cannot be run."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from superres.cli.main import commands
from superres.engine.config.load import find_config
from superres.errors import UserError
from tests.docs import program
from tests.docs.blocks import ROOT, Block

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)
_SHELL = re.compile(r"[|&;<>$`(){}]")  # quoted patterns are for superres itself


def command_lines(code: str) -> list[str]:
    """The lines of a bash block, continued ones joined, without comments and empty ones."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def superres_arguments(words: list[str]) -> list[str] | None:
    """The arguments of `superres` if a command is that, or one of tools/*.py; else None."""
    words = words[1:] if words[:1] == ["python"] else words
    if words[:1] == ["superres"]:
        return words[1:]
    tool = re.fullmatch(r"tools/(\w+)\.py", words[0]) if words else None
    return [tool[1].replace("_", "-"), *words[1:]] if tool else None


def run_bash(block: Block) -> None:
    """Run a bash block: in this process where it is `superres` commands alone (torch is loaded)."""
    commands = []
    for line in command_lines(block.code):
        # Python's path begins with the page's folder here; see `environment`.
        words = shlex.split(line.removeprefix("PYTHONPATH=. "), comments=True)
        commands.append(
            None if _SHELL.search(line.partition(" #")[0]) else superres_arguments(words)
        )
    if None in commands:
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
        output = (done.stdout + done.stderr).decode(errors="replace")
        assert done.returncode == 0, f"{block.where}\n{block.code}{output}"
        return
    for words in commands:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = program.run(words)
        assert code == 0, f"{block.where}: {words}\nexit code {code}\n{out.getvalue()}"


def run_block(block: Block, namespace: dict) -> None:
    """Run a block in the page's namespace, or write the file that it shows."""
    if block.title:
        assert not Path(block.title).is_absolute(), f"{block.where}: outside the page's folder"
        Path(block.title).parent.mkdir(parents=True, exist_ok=True)
        Path(block.title).write_text(block.code, encoding="utf-8")
    elif block.language == "python":  # line numbers in tracebacks are the page's
        code = compile("\n" * (block.line - 1) + block.code, str(block.page), "exec")
        exec(code, namespace)
    elif block.language == "bash":
        run_bash(block)


def check_block(block: Block, shown: Collection[str] = ()) -> None:
    """What can be said of a block that is not run: it compiles; its commands and configs exist.

    ``shown`` names the files that the page shows.
    """
    if block.language == "python":
        compile(block.code, block.where, "exec")
    for line in command_lines(block.code) if block.language == "bash" else ():
        words = shlex.split(line, comments=True)
        while _ASSIGNMENT.fullmatch(words[0]) or words[0] == "bash":
            words = words[1:]
        arguments = superres_arguments(words)
        if arguments is not None:
            _parse(arguments, f"{block.where}: {line}", shown)
        elif words[0].startswith("tools/"):
            assert (ROOT / words[0]).is_file(), f"{block.where}: there is no {words[0]}"


def _parse(arguments: list[str], where: str, shown: Collection[str]) -> None:
    name = arguments[0]
    if name == "benchmark":  # in a checkout only
        assert (ROOT / "tools/benchmarks" / f"{arguments[1]}.py").is_file(), where
        return
    assert name in commands(), f"{where}: superres has no command {name!r}"
    module = importlib.import_module(f"superres.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"superres {name}")
    module.add_arguments(parser)
    try:
        config = getattr(parser.parse_args(arguments[1:]), "config", None)
        if isinstance(config, str) and config != "CONFIG" and config not in shown:
            find_config(config)
    except (SystemExit, UserError) as error:
        raise AssertionError(f"{where}: {error}") from error


def environment() -> dict:
    """The namespace of a page's Python blocks."""
    sys.path[:0] = [] if "" in sys.path else [""]
    return {"__name__": "__main__", "os": os}
