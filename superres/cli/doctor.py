"""Look at this installation: versions, devices, extras, write access, a small network.

The output is plain text to paste into an issue: the home folder stands as ~, the user's name
within paths as USER. It works, and says what is wrong, where torch, OpenCV or another package is
missing or broken.
Exit code 0: all is fine; 1: something is broken, with what to do about it at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from superres.errors import UserError
from superres.files import is_special, write_atomically

if TYPE_CHECKING:
    from superres.cli._doctor.findings import Findings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="as JSON, on standard output or there"
    )
    parser.add_argument("--no-self-test", action="store_true", help="leave the network out")


def run(args: argparse.Namespace) -> int:
    """Examine, and print; 1 if something is broken."""
    findings = examine(self_test=not args.no_self_test)
    if args.json == "-":
        print(json.dumps(findings.as_dict(), indent=1))
    else:
        print(_printable(findings.as_text()))
        if args.json:
            _write(Path(args.json), json.dumps(findings.as_dict(), indent=1))
    return 1 if findings.problems else 0


def examine(self_test: bool = True) -> Findings:
    """All that the doctor looks at, as `superres.cli._doctor.findings.Findings`."""
    from superres.cli._doctor import machine, network, packages
    from superres.cli._doctor.findings import Findings
    from superres.cli._doctor.isolate import run_probes

    findings = Findings()
    try:
        os.getcwd()
    except OSError as error:
        # Libraries cannot be loaded from a folder that was removed: that is not their fault.
        findings.problem(
            f"the current folder is gone ({error.strerror}); looked from {os.sep} instead",
            "go to another folder: cd",
        )
        os.chdir(os.sep)
    probes = [
        packages.look_at_versions,
        machine.look_at_devices,
        network.look_at_torch,
        machine.look_at_opencv,
        packages.look_at_optional_extras,
        network.look_at_weights,
        machine.look_at_write_access,
        machine.look_at_settings,
    ]
    if self_test:
        probes.append(network.look_at_a_network)
    run_probes(findings, probes)
    return findings


def _printable(text: str) -> str:
    """What the terminal's encoding can show."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _write(path: Path, text: str) -> None:
    if is_special(path):  # such as /dev/null
        raise UserError(f"{path}: cannot be written, it is no file; choose the name of a new one")
    write_atomically(path, lambda file: file.write(text.encode("utf-8")))
