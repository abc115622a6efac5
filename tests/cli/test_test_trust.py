"""``superres test``: what a table says of its images and of what it compares with."""

from __future__ import annotations

import numpy as np
import pytest

from superres.cli.main import main
from superres.evaluation import published
from superres.imaging.degrade import blur_down
from superres.imaging.io import write_image
from superres.imaging.resize import imresize

from ..engine.conftest import CONFIG, picture


def a_set(root, name, hr, lq, scale=2):
    """A set of one image, or of several of ``{name: image}``."""
    for folder, pictures in (("HR", hr), (f"LR_bicubic/X{scale}", lq)):
        (root / name / folder).mkdir(parents=True)
        for stem, shown in pictures.items():
            write_image(root / name / folder / f"{stem}.png", shown)


@pytest.fixture
def test(tested, tmp_path):
    """``tested``, of sets in ``tmp_path``."""
    return lambda *arguments, more=(), **how: tested(
        *arguments, more=[f"data_root={tmp_path}", *more], **how
    )


def test_lr_of_another_degradation(test, tmp_path, capsys, monkeypatch):
    """Made here or stored, the table says so, and compares with no bicubic score."""
    hr = {f"i{n}": picture(n) for n in range(5)}
    for name, make in {
        "right/Set5": lambda x: imresize(x, scale=0.5),
        "wrong/Set5": lambda x: blur_down(x, 2),
        "odd/Set5": lambda x: 255 - imresize(x, scale=0.5),
    }.items():
        a_set(tmp_path, name, hr, {f"{n}x2": make(x) for n, x in hr.items()})

    def notes_on(root, *more):
        more = [f"data_root={tmp_path / root}", *more]
        (row,) = test("--sets", "Set5", "--protocols", "classical-y", more=more)["baselines"]
        assert ("published" in row) == ("notes" not in row)
        return row.get("notes", [])

    # Five images of any kind are not Set5 yet.
    assert "these are not the images of Set5" in notes_on("right")[0]
    monkeypatch.setattr(published, "TOLERANCE", np.inf)
    assert notes_on("right") == []
    first, second = notes_on("wrong")
    assert first.startswith("LR is not MATLAB's bicubic but BD")
    assert second == "published scores are of bicubic LR, so they are left out"
    first, second, _ = notes_on("odd")
    assert "5 of 5 pairs that were looked at do not belong together" in first
    assert "LR made in no way known here" in second
    assert "Set5 x2: LR made in no way known here" in capsys.readouterr().out
    steps = "[dict(type='BlurDown')]"
    make = f"eval_dataset=dict(make_lq=dict(type='Degrade',steps={steps}))"
    assert "another degradation than bicubic: [{'type': 'BlurDown'}]" in notes_on("right", make)[0]


def test_lr_without_hr(test, tmp_path):
    hr = picture(1)
    lq = imresize(hr, scale=0.5)
    a_set(tmp_path, "half", {"a": hr}, {"ax2": lq, "bx2": lq})
    (entry,) = test("--sets", "half")["results"]
    assert entry["notes"] == ["1 LR images have no HR and are not in the mean: bx2"]


def test_out_is_looked_at_first(checkpoint, options, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        arguments = ["test", CONFIG, str(checkpoint), "--out", str(tmp_path / out)]
        capsys.readouterr()
        assert main([*arguments, "--cfg-options", *options]) == 2
        said = capsys.readouterr()
        assert "testing" not in said.out
        assert str(tmp_path / out) in said.err
    assert (tmp_path / "file").read_text() == "mine"
