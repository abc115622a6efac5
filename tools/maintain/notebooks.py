"""Run the notebooks of docs/notebooks in a temporary folder, and store them with what they print.

python tools/maintain/notebooks.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs; an image is kept as JPEG alone, times of execution go."""
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "image/jpeg" in output.get("data", {}):
                output.data.pop("image/png", None)
    return notebook


if __name__ == "__main__":
    for notebook in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run(notebook, Path(folder)), notebook)
