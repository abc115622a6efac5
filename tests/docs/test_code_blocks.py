"""Every code block of README.md and docs/ runs; those that cannot say so in the page.

The blocks of a page run in order, in one folder with the small files of conftest.py. Trainings are
cut to two iterations of a small network (program.py). What a page says that is not run must stand
above the block, ``<!-- not run: REASON -->``; its command lines are parsed all the same.
"""

from __future__ import annotations

import gc
import importlib.util
import re
from pathlib import Path

import pytest
import torch

import superres.engine.api as notebook
from tests.docs import program
from tests.docs.blocks import ROOT, blocks, pages
from tests.docs.runner import check_block, environment, run_block

RUNNABLE = ("bash", "python")
OUTPUT = ("", "text", "json", "yaml", "diff", "console")
# Files that the text of a page says its commands write.
WRITTEN = {
    "docs/quickstart.md": ["photo_x2.png", "larger.png", "results/results.json"],
    "docs/train.md": ["work_dirs/mine_x2/log.jsonl", "sheet.png", "mine_x2.safetensors"],
    "docs/benchmark.md": [
        *(f"results/results.{kind}" for kind in ("json", "md", "csv", "tex")),
        *("results/report.html", "theirs/report.html", "table.tex"),
    ],
    "docs/upscale.md": [
        *("photo_x2.jpg", "large/trip/boat.tiff", "tree_x2.png"),
        *("before_after.html", "comparison.png"),
    ],
    "docs/add_a_network.md": ["work_dirs/plain_x2/best.pth"],
}
PAGES = [page for page in pages() if any(b.language in RUNNABLE for b in blocks(page))]


@pytest.fixture(autouse=True)
def _one_thread(one_thread):
    """For all tests here."""
    yield
    gc.collect()


@pytest.fixture(autouse=True)
def _short_trainings(monkeypatch):
    """``superres.train`` and ``test`` in Python blocks, shortened as the commands are."""

    def shortened(name, call):
        def short(config, *checkpoint, **given):
            added = program.shorter(name, config)
            top = {k: added.pop(k) for k in list(added) if "." not in k}
            options = {**given.pop("options", {}), **added}
            return call(config, *checkpoint, **{**given, **top}, options=options)

        return short

    for name in ("train", "test"):
        monkeypatch.setattr(notebook, name, shortened(name, getattr(notebook, name)))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page, world):
    namespace = environment()
    shown = {block.title for block in blocks(page) if block.title}
    for block in blocks(page):
        absent = block.needs and importlib.util.find_spec(block.needs) is None
        if block.not_run or absent:
            check_block(block, shown)
            continue
        try:
            run_block(block, namespace)
        except BaseException as error:  # SystemExit and KeyboardInterrupt are failures as well
            raise AssertionError(f"{block.where}: {error!r}") from error
    written = WRITTEN.get(page.relative_to(ROOT).as_posix(), [])
    assert [file for file in written if not Path(file).exists()] == []


def test_the_network_in_30_lines_is_as_long_and_sees_as_far_as_it_says():
    (code,) = [b.code for b in blocks(ROOT / "docs/add_a_network.md") if b.title == "plain_net.py"]
    assert len(code.splitlines()) <= 30
    namespace = {"__name__": "plain_net"}
    exec(code.replace("@MODELS.register_module()", ""), namespace)
    torch.manual_seed(0)
    network = namespace["PlainNet"](channels=8, num_blocks=2, scale=2).double()
    x = torch.rand(1, 3, 1, 41, dtype=torch.float64).requires_grad_()
    network(x.expand(1, 3, 41, 41))[..., 40:42].sum().backward()
    reached = x.grad.abs().amax((0, 1, 2)).nonzero().flatten()
    assert (int(reached.min()), int(reached.max())) == (
        20 - network.receptive_radius,
        20 + network.receptive_radius,
    )


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_command_hides_in_a_block_that_is_not_run(page):
    command = re.compile(r"^\s*(\$ )?(superres|python|pip|bash|tools/\S+)\s", re.M)
    for block in blocks(page):
        if block.language not in RUNNABLE:
            assert block.language in OUTPUT, f"{block.where}: what is {block.language!r}?"
            assert not command.search(block.code), f"{block.where}: commands belong in bash blocks"


def test_blocks_that_are_not_run_are_few_and_say_why():
    assert len(PAGES) > 12
    # The page of trainings has a block for each one on record, made by a command.
    written = [page for page in pages() if page.name != "reproduce.md"]
    runnable = [b for page in written for b in blocks(page) if b.language in RUNNABLE]
    marked = [b for b in runnable if b.not_run]
    assert all(len(block.not_run) > 8 for block in marked)
    assert len(marked) < len(runnable) / 4
