"""The notebooks run from beginning to end, and are stored with their outputs."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest

from tests.docs.blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
MISSING = [n for n in ("nbclient", "ipykernel", "skimage") if not importlib.util.find_spec(n)]


def test_there_is_one_for_each_kind_of_user_stored_as_it_ran():
    assert [p.stem for p in NOTEBOOKS] == ["practitioner", "researcher", "reviewer"]
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        code = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
        assert [c["execution_count"] for c in code] == [*range(1, len(code) + 1)]
        assert not {o["output_type"] for c in code for o in c["outputs"]} & {"error"}
        assert "/tmp" not in text


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run(path, tmp_path, monkeypatch):
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    for name in ("SUPERRES_HOME", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # tests share the machine
    work = tmp_path / "work"
    work.mkdir()
    notebook, resources = nbformat.read(path, as_version=4), {"metadata": {"path": str(work)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    text = "".join(o.get("text", "") for cell in notebook.cells for o in cell.get("outputs", []))
    files, words = {
        "practitioner": (["comparison.html", "edsr_s_x2.pt"], ""),
        "researcher": (["results/report.html"], "finished: False"),
        "reviewer": ([], "made by: matlab"),
    }[path.stem]
    assert [name for name in files if not (work / name).is_file()] == []
    assert words in text
