"""The matrix of image kinds: no cell is silently wrong."""

from __future__ import annotations

from maintain import formats


def test_no_kind_of_image_is_silently_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "PAGE", tmp_path / "formats.md")
    assert formats.main() == 0
    text = formats.PAGE.read_text("utf-8")
    assert "| PNG | 16 | RGB | yes | 1, 6, 8 | right | the same | the same |\n" in text
    assert "373 cells (" in text
    assert "45 films and animations" in text
