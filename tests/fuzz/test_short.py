"""A short, always equal part of the fuzzing, and what longer runs have found."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import targets
from tests.fuzz.engine import fuzz, kind_of

COUNTS = {"images": 600, "checkpoints": 120, "metadata": 60, "options": 20}


@pytest.mark.parametrize("name", targets.TARGETS)
def test_mutated_inputs_end_in_success_or_one_message(name):
    outcome = fuzz(name, count=COUNTS.get(name, 60), seed=1)
    assert not outcome.finds
    assert outcome.inputs == COUNTS.get(name, 60)
    assert "success" in outcome.kinds
    assert len(outcome.kinds) > 3, "the mutations reach the checks"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
KEPT = settings(
    derandomize=True,
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def fault(name: str, data: bytes, folder: Path) -> str:
    return kind_of(targets.TARGETS[name], data, folder / "input")[1]


@KEPT
@given(st.sampled_from(["type", "scale", "channels", "num_blocks", "rgb_mean", "x"]), JSON)
def test_any_value_in_a_networks_config(tmp_path, key, value):
    config = json.dumps({**targets.SMALL, key: value})
    assert not fault("metadata", config.encode(), tmp_path)


@settings(KEPT, max_examples=25)
@given(st.data())
def test_any_value_in_results(tmp_path, data):
    record = json.loads(data.draw(st.sampled_from(targets.result_seeds())))
    node = record
    while True:
        keys = sorted(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(JSON)
    assert not fault("results", json.dumps(record).encode(), tmp_path)


FOUND = {
    "a set in a dict": ("options", b"scale={[]:1}"),
    "an open bracket": ("options", b"test_sets=[a,b"),
    "a digit that is no number": ("options", b"param_scheduler.\xc2\xb2=1"),
    "deep": ("options", b"scale=" + b"-" * 100_000 + b"1"),
    "deep json": ("results", b"[" * 100_000),
    "deep metadata": ("metadata", b"[" * 100_000),
    "a zip on several disks": (
        "checkpoints",
        b"PK\x03\x04"
        + bytes(60)
        + b"PK\x06\x07"
        + struct.pack("<IQI", 0, 0, 2)
        + b"PK\x05\x06"
        + bytes(18),
    ),
    "a TIFF's directory beyond all": ("images", b"II+\0\x08\0\0\0" + b"\xff" * 8),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_was_found(name, tmp_path):
    target, data = FOUND[name]
    kind, traceback = kind_of(targets.TARGETS[target], data, tmp_path / "input")
    assert not traceback
    assert kind != "success"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("psnr", 10**400),
        ("psnr_std", "a"),
        ("psnr", 1e308),
        ("published", {"method": "a", "psnr": 1, "ssim": None, "source": "b", "difference": 5}),
    ],
)
def test_scores_that_are_none(key, value, tmp_path):
    record = json.loads(targets.result_seeds()[0])
    record["results"][0][key] = value
    kind, traceback = kind_of(
        targets.TARGETS["results"], json.dumps(record).encode(), tmp_path / "input"
    )
    assert not traceback
    assert kind != "success"
