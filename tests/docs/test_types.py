"""mypy and pyright accept what the pages show and every public name; the names are a promise."""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys

import pytest

import superres
from tests.docs.blocks import ROOT, blocks, pages

# What scripts call: see "Public names" of CONTRIBUTING.md before a line of this changes.
PROMISED = """
ImageUpscaler(model, scale=None, backend='auto', max_pixels=None, **tiling)
PictureUpscaler(model, scale=None, backend='auto', max_pixels=None, **tiling)
SomeFailed(UserError)
UserError(Exception)
from_pretrained(repo_or_folder, scale=None, format=None, device='auto', revision=None, **hints)
load_model(name_or_path, scale=None, format=None, device='auto', **hints)
save_comparison(lq, sr, path, gt=None)
save_pretrained(model, folder, config=None)
test(config_or_name, checkpoint, *, options=None, **wanted)
train(config_or_name, *, options=None, **wanted)
upscale(image, model='auto', scale=None, **options)
"""
KINDS = """
from pathlib import Path
from typing import assert_type
import numpy, superres, torch
from PIL import Image
model, one, tensor = superres.load_model("edsr-s", 2), Image.new("L", (8, 8)), torch.zeros(3, 8, 8)
for upscale in (superres.upscale, model.upscale, model.upscaler(tile=64)):
    assert_type(upscale("a.png"), Image.Image)
    assert_type(upscale(Path("a.png"), clamp=False), Image.Image)
    assert_type(upscale("a.png", out="b.png"), Path)
    assert_type(upscale(one), Image.Image)
    assert_type(upscale(tensor), torch.Tensor)
    assert_type(upscale(["a.png", "b.png"]), list[Image.Image])
    assert_type(upscale((tensor, tensor)), list[torch.Tensor])
    assert upscale(numpy.zeros((8, 8), numpy.uint8)).shape
"""
CHECKERS = {
    "pyright": ["--pythonpath", sys.executable],
    "mypy": ["--python-executable", sys.executable, "--follow-imports=silent", "--cache-dir=cache"],
}


def public(name: str) -> str:
    """A public function's name, parameters and defaults, as they are; an exception's base."""
    found = getattr(superres, name)
    if isinstance(found, type) and issubclass(found, Exception):
        return f"{name}({found.__base__.__name__})"
    parameters = inspect.signature(getattr(superres, name)).parameters.values()
    return name + str(inspect.Signature([p.replace(annotation=p.empty) for p in parameters]))


def test_public_names_are_as_promised():
    names = [name for name in superres.__all__ if name != "__version__"]
    assert [public(name) for name in names] == PROMISED.split("\n")[1:-1]


@pytest.mark.parametrize("checker", CHECKERS)
def test_snippets_and_public_names_have_types(checker, tmp_path):
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed (requirements/tests.txt)")
    public = ", ".join(f"superres.{name}" for name in superres.__all__)
    files = {"kinds": KINDS, "public": f"# pyright: strict\nimport superres\n\nprint({public})\n"}
    for number, page in enumerate(pages()):
        found = [block for block in blocks(page) if block.language == "python"]
        files[f"page{number}"] = "".join(block.code for block in found if not block.title)
        files |= {b.title.removesuffix(".py"): b.code for b in found if b.title}
    for name, code in files.items():
        if "import " in code:  # not a config
            (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "MYPYPATH": str(ROOT)}
    command = [sys.executable, "-m", checker, *CHECKERS[checker], "."]

    def check() -> subprocess.CompletedProcess:
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    done = check()
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = 'superres.upscale("a.png", tiel=3)\nsuperres.load_model(3)\n'
    (tmp_path / "kinds.py").write_text(KINDS + wrong)
    assert check().returncode == 1
