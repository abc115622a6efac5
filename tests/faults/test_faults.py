"""One fault of each kind, and that the suite would notice what it is there for."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pytest

from superres.imaging.io import read_image, write_image
from tests.engine.conftest import ROOT

from .__main__ import one
from .kinds import all_kinds
from .lab import Fault, Lab
from .page import page, table

pytestmark = pytest.mark.faults
RESULT = ROOT / "docs/results/faults.json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("kind", all_kinds())
def test_nothing_is_lost(lab, kind):
    # The first of each kind on record: a test that fails now and then is of little use.
    fault = one(lab, kind, random.Random(f"2026 {kind} 0"), 0)
    assert not fault.wrong, fault.as_dict()
    assert fault.went_on
    assert fault.equal


@pytest.mark.slow
@pytest.mark.parametrize("kind", all_kinds())
def test_nothing_is_lost_ten_times(lab, kind):
    for number in range(10):
        fault = one(lab, kind, random.Random(number), number)
        assert not fault.wrong, fault.as_dict()


def test_a_silent_corruption_is_noticed(lab):
    """A pixel that differs by one, a file that lies about, a command that does not end well."""
    folder = lab.folder()
    fault = Fault("none", "upscale")
    lab.go_on(fault, folder)
    assert not fault.wrong
    assert fault.equal
    picture = folder / "out" / "photo3.png"
    pixels = read_image(picture)
    pixels[5, 6, 0] ^= 1
    write_image(picture, pixels)
    (folder / "out" / ".left.tmp").write_bytes(b"")
    lab.compare(fault, folder)
    assert not fault.equal
    assert ["photo3.png" in fault.wrong[0], "left.tmp" in fault.wrong[1]] == [True, True]
    fault = Fault("none", "upscale")
    shutil.rmtree(folder / "out")
    (folder / "out").write_text("in the way")
    lab.go_on(fault, folder)
    assert not fault.went_on
    assert not fault.equal


def test_a_changed_checkpoint_is_noticed(lab):
    folder = lab.folder()
    (folder / "work").mkdir()
    whole = lab.root / "undisturbed train" / "work"
    shutil.copy(whole / "iter_6.pth", folder / "work" / "iter_3.pth")
    fault = Fault("none", "train")
    lab.compare(fault, folder)
    assert "iter_3.pth" in fault.wrong[0]


def test_the_page_is_of_the_result():
    """And the result is what is asked of it: 200 faults, ten of each kind, nothing wrong."""
    record = json.loads(RESULT.read_text(encoding="utf-8"))
    assert Path(ROOT / "docs/faults.md").read_text(encoding="utf-8") == page(record)
    kinds = [fault["kind"] for fault in record["faults"]]
    assert len(kinds) >= 200
    assert set(kinds) == set(all_kinds())
    assert min(map(kinds.count, kinds)) >= 10
    assert all(f["equal"] and f["went_on"] and not f["wrong"] for f in record["faults"])
    assert f"| all | {len(kinds)} |" in table(record)
