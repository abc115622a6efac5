"""docs/licences.md: the licences of the dependencies, by pip-licenses."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maintain import ROOT, filled, markdown_table, requirements
from superres.errors import UserError

PAGE = ROOT / "docs/licences.md"


def pages() -> dict[Path, str]:
    """The page, from what is installed beside this Python.

    Raises:
        UserError: pip-licenses is not installed, or failed.
    """
    command = [sys.executable, "-m", "piplicenses", "--format=json", "--from=mixed"]
    command += ["--with-urls", "--with-system"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(
            f"pip-licenses: {done.stderr.strip()}; get it with: pip install pip-licenses"
        )
    found = {canonicalize_name(one["Name"]): one for one in json.loads(done.stdout)}
    lines, (always, extras) = [], needed()
    for title, names in (("Always installed", always), ("With the extras", extras - always)):
        rows = []
        for one in (found[name] | {"Name": name} for name in sorted(names & set(found))):
            home = f"<{one['URL']}>" if one["URL"].startswith("http") else ""
            rows.append([one["Name"], one["Version"].partition("+")[0], one["License"], home])
        lines += ["", f"## {title}", ""]
        lines += markdown_table(["package", "version", "licence", "home"], rows)
    missing = ", ".join(sorted((always | extras) - set(found)))
    lines += ["", f"Not installed where this was made: {missing}.", ""] if missing else [""]
    return {PAGE: filled(PAGE, "\n".join(lines))}


def needed() -> tuple[set[str], set[str]]:
    """Canonical names of what is always installed, and of what the extras bring."""
    lines = [line.partition(":")[2] for line in requirements("optional")]
    extras = closure([one for line in lines for one in line.split(",")])
    return closure(requirements("runtime")), extras


def closure(roots: list[str]) -> set[str]:
    """Canonical names of ``roots`` and of what they need, as far as that is installed."""
    found: set[str] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), {"", *requirement.extras}
        if name in found and extras == {""}:
            continue
        found.add(name)
        try:
            needs = list(map(Requirement, metadata.distribution(name).requires or []))
        except metadata.PackageNotFoundError:
            continue
        todo += [
            need for need in needs
            if not need.marker or any(need.marker.evaluate({"extra": e}) for e in extras)
        ]  # fmt: skip
    return found
