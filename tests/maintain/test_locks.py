"""The locks hold what superres needs, in the tested versions, with hashes."""

from __future__ import annotations

import contextlib
import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maintain import ROOT
from maintain.locks import TORCH, packages


def requirements(name: str) -> list[str]:
    """The lines of one file of requirements/, without comments."""
    lines = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def closure(roots: list[str]) -> set[str]:
    """Canonical names of ``roots`` and of what they need, as far as that is installed."""
    found: set[str] = set()
    todo = [Requirement(root) for root in roots]
    while todo:
        name = canonicalize_name(todo.pop().name)
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(metadata.PackageNotFoundError):
            needs = map(Requirement, metadata.distribution(name).requires or [])
            todo += [n for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]
    return found


PINNED = dict(line.split("==") for line in requirements("constraints"))
PINNED = {canonicalize_name(name): version for name, version in PINNED.items()}


def locked(name: str) -> dict[str, Requirement]:
    """The packages of a lock; each entry has a version and hashes."""
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    found = packages(text)
    for entry in found.values():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
    assert len(re.findall(r"^[a-z]", text, re.M)) == len(found) + (name == "lock-cpu")
    return {name: Requirement(entry.partition(" \\\n")[0]) for name, entry in found.items()}


@pytest.mark.parametrize("name", ["lock", "lock-cpu", "lock-common"])
def test_the_locks_agree_with_the_tested_set(name):
    for package, requirement in locked(name).items():
        assert bool(TORCH.match(package)) == (name != "lock-common")
        (version,) = (s.version for s in requirement.specifier)
        if package in PINNED:
            assert version.partition("+")[0] == PINNED[package]
        else:  # what only another system or a CUDA build needs
            assert "sys_platform" in str(requirement.marker)


@pytest.mark.parametrize("name", ["lock", "lock-cpu"])
def test_the_locks_hold_all_that_superres_needs(name):
    found = {*locked(name), *locked("lock-common")}
    needs = closure(requirements("runtime"))
    assert needs <= {*found, *(n for n in needs if TORCH.match(n) and n != "torch")}
