"""The notebooks run from beginning to end, and are stored without outputs."""

from __future__ import annotations

import importlib.util
import json
import os

import pytest

from tests.docs.blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
MISSING = [n for n in ("nbclient", "ipykernel", "skimage") if not importlib.util.find_spec(n)]
STAND_IN = """
import os
from pathlib import Path
from superres.checkpoints import shipped
shipped.WEIGHTS = Path(os.environ["SUPERRES_DOCS_WEIGHTS"])
"""


def test_there_is_one_for_each_kind_of_user():
    assert [p.stem for p in NOTEBOOKS] == ["practitioner", "researcher", "reviewer"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_stored_without_outputs(path):
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_run(path, tmp_path, monkeypatch, stand_in_weights):
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    monkeypatch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
    monkeypatch.setenv("SUPERRES_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # tests share the machine
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    if stand_in_weights:  # the weights did not come with the checkout
        monkeypatch.setenv("SUPERRES_DOCS_WEIGHTS", str(stand_in_weights))
        notebook.cells.insert(0, nbformat.v4.new_code_cell(STAND_IN))
    work = tmp_path / "work"
    work.mkdir()
    resources = {"metadata": {"path": str(work)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)
    done = client.execute()
    text = ["".join(out.get("text", "")) for cell in done.cells for out in cell.get("outputs", [])]
    print("\n".join(text))
    if path.stem == "practitioner":
        assert (work / "comparison.html").is_file()
        assert (work / "edsr_s_x2.pt").is_file()
    elif path.stem == "researcher":
        assert "finished: False" in "".join(text)
        assert (work / "results/report.html").is_file()
    else:
        assert "made by: matlab" in "".join(text)
