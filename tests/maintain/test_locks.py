"""The locks and the page of licences."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from maintain import ROOT, requirements
from maintain.licences import PAGE, closure, needed
from maintain.locks import TORCH, packages

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


def test_the_page_of_licences_lists_what_is_installed():
    text = PAGE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| ([\w-]+) \| ([\d.]+\S*) \|", text, re.M))
    assert {name: PINNED[name] for name in rows} == rows
    always, extras = needed()
    told = {*rows, *re.search(r"Not installed where this was made: (.*)\.", text)[1].split(", ")}
    assert always | {n for n in extras if n in PINNED} <= told
