"""The matrix of image kinds: no cell is silently wrong."""

from __future__ import annotations

from maintain import formats


def test_no_kind_of_image_is_silently_wrong(tmp_path):
    cells = [*formats.pngs(), *formats.tiffs(), *formats.others(), *formats.pnms()]
    assert len(cells) >= 300
    wrong = {}
    for number, cell in enumerate(cells):
        path = tmp_path / f"{number}" / "in" / cell.name
        path.parent.mkdir(parents=True)
        path.write_bytes(cell.data)
        for state in (formats.upscaled(path, cell), formats.trained(path, cell)):
            if state != "right" and not state.startswith("refused: "):
                wrong[cell.kind, cell.orientation] = state
    assert not wrong
    scores = formats.scored(cells, tmp_path)
    assert not [state for state in scores if "SILENT" in state]
