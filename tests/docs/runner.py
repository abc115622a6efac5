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
_SCRIPTS = {"dist_train.sh": ("train", 0), "dist_test.sh": ("test", 0)}
_SCRIPTS |= {"slurm_train.sh": ("train", 2), "slurm_test.sh": ("test", 2)}


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
    lines = command_lines(block.code)
    split = [shlex.split(line, comments=True) for line in lines]
    # Python's path begins with the page's folder here; see `environment`.
    split = [words[1:] if words[:1] == ["PYTHONPATH=."] else words for words in split]
    arguments = [
        None if _SHELL.search(line.partition(" #")[0]) else superres_arguments(words)
        for line, words in zip(lines, split)
    ]
    if all(a is not None for a in arguments):
        for line, words in zip(lines, arguments):
            out = io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = program.run(words)
            assert code == 0, f"{block.where}: {line}\nexit code {code}\n{out.getvalue()}"
        return
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{block.where}\n{block.code}{done.stdout}{done.stderr}"


def run_python(block: Block, namespace: dict) -> None:
    """Run a Python block in the page's namespace; line numbers in tracebacks are the page's."""
    code = compile("\n" * (block.line - 1) + block.code, str(block.page), "exec")
    exec(code, namespace)


def run_block(block: Block, namespace: dict) -> None:
    """Run a block, or write the file that it shows."""
    if block.title:
        path = Path(block.title)
        assert not path.is_absolute(), f"{block.where}: a file outside the page's folder"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.code, encoding="utf-8")
    elif block.language == "python":
        run_python(block, namespace)
    elif block.language == "bash":
        run_bash(block)


def check_block(block: Block, shown: Collection[str] = ()) -> None:
    """What can be said of a block that is not run: it compiles; its commands and configs exist.

    ``shown`` names the files that the page shows.
    """
    if block.language == "python":
        compile(block.code, block.where, "exec")
    if block.language != "bash":
        return
    for line in command_lines(block.code):
        line = re.sub(r"\s[<>]\s*\S+", "", line)  # redirections
        for part in re.split(r"&&|\|\||;|\|", line):
            words = shlex.split(part, comments=True)
            while words and _ASSIGNMENT.fullmatch(words[0]):
                words = words[1:]
            if words:
                _check_command(words, f"{block.where}: {line}", shown)


def _check_command(words: list[str], where: str, shown: Collection[str]) -> None:
    words = words[1:] if words[0] == "bash" else words
    script = re.fullmatch(r"tools/(\w+\.sh)", words[0])
    if script:
        assert (ROOT / words[0]).is_file(), f"{where}: there is no {words[0]}"
        if script[1] in _SCRIPTS:
            _check_script(*_SCRIPTS[script[1]], words[1:], where, shown)
        return
    arguments = superres_arguments(words)
    if arguments is not None:
        _parse(arguments, where, shown)


def _check_script(
    command: str, before: int, words: list[str], where: str, shown: Collection[str]
) -> None:
    """The arguments of tools/dist_*.sh and slurm_*.sh: those of the command, and some of theirs."""
    words = words[before:]
    files, words = words[: 1 + (command == "test")], words[1 + (command == "test") :]
    if not before and words and words[0].isdigit():
        words = words[1:]
    if words[:1] == ["--max-restarts"]:
        words = words[2:]
    _parse([command, *files, *words], where, shown)


def _parse(arguments: list[str], where: str, shown: Collection[str]) -> None:
    name = arguments[0]
    if name == "benchmark":  # in a checkout only
        assert (ROOT / "tools/benchmarks" / f"{arguments[1]}.py").is_file(), where
        return
    assert name in commands(), f"{where}: superres has no command {name!r}"
    module = importlib.import_module(f"superres.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"superres {name}")
    module.add_arguments(parser)
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            args = parser.parse_args(arguments[1:])
    except SystemExit as stop:
        raise AssertionError(f"{where}\n{errors.getvalue()}") from stop
    config = getattr(args, "config", None)
    if isinstance(config, str) and config != "CONFIG" and config not in shown:
        try:
            find_config(config)
        except UserError as error:
            raise AssertionError(f"{where}: {error}") from error


def module_is_missing(name: str) -> bool:
    """Whether an optional package is absent."""
    return importlib.util.find_spec(name) is None


def environment() -> dict:
    """The namespace of a page's Python blocks."""
    sys.path[:0] = [] if "" in sys.path else [""]
    return {"__name__": "__main__", "os": os}
