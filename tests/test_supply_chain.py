"""The locks, the page of licences and the bill of materials."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
_SPEC = importlib.util.spec_from_file_location("supply_chain", ROOT / "tools/supply_chain.py")
supply_chain = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(supply_chain)

LOCKS = ("lock", "lock-cpu", "lock-common")
# The pins that constraints.txt cannot have: nothing but another system or a CUDA build needs them.
NOT_OF_THE_TESTED_SET = re.compile(r"regex$|nvidia-|cuda-|triton$")


def everything(name: str) -> list[dict]:
    """All packages that a lock installs."""
    return [*supply_chain.locked(name), *supply_chain.locked("lock-common")]


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_a_version_and_hashes(name):
    packages = supply_chain.locked(name)
    assert packages
    for package in packages:
        assert package["hashes"], package["name"]
        for value in package["hashes"]:
            assert re.fullmatch(r"sha256:[0-9a-f]{64}", value), package["name"]
        for file, value in package["files"].items():
            assert f"sha256:{value}" in package["hashes"], file
    text = (ROOT / f"requirements/{name}.txt").read_text(encoding="utf-8")
    assert text.count("--hash=") == sum(len(package["hashes"]) for package in packages)


@pytest.mark.parametrize("name", LOCKS)
def test_the_locks_agree_with_the_constraints(name):
    pinned = supply_chain.pinned()
    for package in supply_chain.locked(name):
        if NOT_OF_THE_TESTED_SET.match(package["name"]):
            assert "sys_platform" in package["marker"], package["name"]
        else:
            assert package["version"].partition("+")[0] == pinned[package["name"]], package["name"]


@pytest.mark.parametrize("name", ["lock", "lock-cpu"])
def test_the_locks_hold_all_that_superres_needs(name):
    locked = {package["name"] for package in everything(name)}
    needed = supply_chain.closure(supply_chain.requirement_lines("runtime"))
    assert set(needed) <= {*locked, *(n for n in needed if supply_chain.CUDA.match(n))}
    if name == "lock-cpu":
        assert not [n for n in locked if supply_chain.CUDA.match(n)]


def test_torch_is_locked_for_every_system_and_python():
    (torch,) = (p for p in supply_chain.locked("lock") if p["name"] == "torch")
    for python in ("cp311", "cp312", "cp313"):
        for system in ("macosx", "manylinux_2_28_aarch64", "manylinux_2_28_x86_64", "win_amd64"):
            found = [f for f in torch["files"] if f"-{python}-{python}-{system}" in f]
            assert found, (python, system)
    on_linux, elsewhere = (p for p in supply_chain.locked("lock-cpu") if p["name"] == "torch")
    assert on_linux["version"].endswith("+cpu")
    assert all("linux" not in file for file in elsewhere["files"])


@pytest.mark.parametrize(
    ("file", "wanted"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-cp311-cp311-manylinux_2_28_x86_64.whl", True),
        ("a-1-cp37-abi3-win_amd64.whl", True),
        ("a-1-cp313-cp313-macosx_11_0_arm64.whl", True),
        ("a-1-cp313-cp313t-macosx_11_0_arm64.whl", False),
        ("a-1-cp314-cp314-win_amd64.whl", False),
        ("a-1-cp310-cp310-win_amd64.whl", False),
        ("a-1-cp313-cp313-ios_13_0_arm64_iphoneos.whl", False),
        ("a-1-pp311-pypy311_pp73-win_amd64.whl", False),
    ],
)
def test_which_wheels_are_listed(file, wanted):
    assert supply_chain.wanted_wheel(file) is wanted


def test_the_page_of_licences_is_what_the_command_writes():
    pinned = supply_chain.pinned()
    names = supply_chain.closure(
        [*supply_chain.requirement_lines("runtime"), *supply_chain.optional()]
    )
    missing = {canonicalize_name(Requirement(n).name) for n in supply_chain.optional()}
    missing -= {*names, "pyarrow", "pyiqa"}  # not of the pinned set
    other = [n for n in names if metadata.version(n).partition("+")[0] != pinned.get(n)]
    if missing or other:
        pytest.skip(f"not the pinned set: {', '.join([*missing, *other])}")
    assert (ROOT / "docs/licences.md").read_text(encoding="utf-8") == supply_chain.licences_page()


@pytest.fixture(scope="module")
def bill() -> dict:
    """The bill of materials, as the command prints it."""
    done = subprocess.run(
        [sys.executable, "tools/supply_chain.py", "sbom"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_bill_has_the_fields_that_cyclonedx_asks_for(bill):
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["specVersion"] == "1.6"
    assert bill["version"] == 1
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    assert re.fullmatch(r"[\d-]{10}T[\d:]{8}Z", bill["metadata"]["timestamp"])
    own = bill["metadata"]["component"]
    for component in [own, *bill["components"]]:
        assert component["type"] == "library"
        assert component["name"]
        assert component["version"]
        assert component["purl"].startswith(f"pkg:pypi/{component['name']}@")
        (licence,) = component["licenses"]
        assert licence.get("expression") or licence["license"]["name"]
    refs = [c["bom-ref"] for c in [own, *bill["components"]]]
    assert len(set(refs)) == len(refs)
    assert {d["ref"] for d in bill["dependencies"]} == set(refs)
    assert {ref for d in bill["dependencies"] for ref in d["dependsOn"]} <= set(refs)


def test_the_bill_names_what_is_installed(bill):
    runtime = {
        canonicalize_name(Requirement(r).name) for r in supply_chain.requirement_lines("runtime")
    }
    components = {c["name"]: c for c in bill["components"]}
    assert runtime <= set(components)
    for name, component in components.items():
        assert component["version"] == metadata.version(name)
    (root,) = (d for d in bill["dependencies"] if d["ref"].startswith("pkg:pypi/superres@"))
    assert {ref.split("/")[1].split("@")[0] for ref in root["dependsOn"]} == runtime


def test_the_bill_is_valid_by_its_schema(bill):
    validation = pytest.importorskip(
        "cyclonedx.validation.json", reason="pip install 'cyclonedx-python-lib[json-validation]'"
    )
    from cyclonedx.schema import SchemaVersion

    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(json.dumps(bill)) is None
