"""Every code block of README.md and docs/ runs; those that cannot say so in the page.

The blocks of a page run in order, in one folder with the small files of conftest.py. Trainings are
cut to two iterations of a small network (program.py). What a page says that is not run must stand
above the block, ``<!-- not run: REASON -->``; its command lines are parsed all the same.
"""

from __future__ import annotations

import gc
import re
import time
from pathlib import Path

import pytest

import superres.engine.api as notebook
from tests.docs import program
from tests.docs.blocks import ROOT, Block, blocks, pages
from tests.docs.runner import check_block, environment, module_is_missing, run_block

RUNNABLE = ("bash", "python")
OUTPUT = ("", "text", "json", "yaml", "diff", "console")
# Files that the text of a page says its commands write.
WRITTEN = {
    "docs/quickstart.md": ["photo_x2.png", "larger.png", "results/results.json"],
    "docs/train.md": ["work_dirs/mine_x2/log.jsonl", "sheet.png", "mine_x2.safetensors"],
    "docs/benchmark.md": [
        *(f"results/results.{kind}" for kind in ("json", "md", "csv", "tex")),
        "results/report.html",
        "theirs/report.html",
        "table.tex",
    ],
    "docs/upscale.md": [
        "photo_x2.jpg",
        "large/trip/boat.tiff",
        "before_after.html",
        "comparison.png",
        "tree_x2.png",
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
    train, test = notebook.train, notebook.test

    def keys(config: str, words: list[str]) -> dict:
        added = program.shortened([*words])[len(words) + 1 :]
        return dict(option.split("=", 1) for option in added)

    def short_train(config, **given):
        added = {k: _value(v) for k, v in keys(config, ["train", config]).items()}
        options = {k: v for k, v in added.items() if "." in k}
        top = {k: v for k, v in added.items() if "." not in k}
        return train(config, **{**given, **top, "options": {**given.get("options", {}), **options}})

    def short_test(config, checkpoint, **given):
        options = {k: _value(v) for k, v in keys(config, ["test", config, "x"]).items()}
        return test(config, checkpoint, **{**given, "options": options})

    monkeypatch.setattr(notebook, "train", short_train)
    monkeypatch.setattr(notebook, "test", short_test)


def _value(text: str) -> object:
    return {"True": True, "False": False}.get(text, int(text) if text.isdigit() else text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(page, world, capsys):
    world()
    namespace = environment()
    for block in blocks(page):
        absent = block.needs and module_is_missing(block.needs)
        if block.not_run or absent:
            with capsys.disabled():
                print(f"\n{block.where}: not run: {block.not_run or f'no {block.needs} here'}")
            continue
        start = time.perf_counter()
        try:
            run_block(block, namespace)
        except AssertionError:
            raise
        except BaseException as error:  # SystemExit and KeyboardInterrupt are failures as well
            raise AssertionError(f"{block.where}: {type(error).__name__}: {error}") from error
        print(f"{block.where}: {time.perf_counter() - start:.1f} s")
    lacking = [
        f for f in WRITTEN.get(page.relative_to(ROOT).as_posix(), []) if not Path(f).exists()
    ]
    assert not lacking, f"{page}: said to be written, and is not: {lacking}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_commands_and_python_of_a_page_are_well_formed(page):
    shown = {block.title for block in blocks(page) if block.title}
    for block in blocks(page):
        check_block(block, shown)


def _unmarked_commands(block: Block) -> list[str]:
    """Lines of a block for looking at that are commands after all."""
    start = re.compile(r"\s*(\$ )?(superres|python|pip|bash|tools/\S+)\s")
    return [line for line in block.code.splitlines() if start.match(line)]


@pytest.mark.parametrize("page", pages(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_command_hides_in_a_block_that_is_not_run(page):
    for block in blocks(page):
        if block.language in RUNNABLE:
            continue
        assert block.language in OUTPUT, f"{block.where}: what is a block of {block.language!r}?"
        assert not _unmarked_commands(block), f"{block.where}: commands belong in bash blocks"


def test_blocks_that_are_not_run_are_few_and_say_why(capsys):
    # The page of trainings has a block for each one on record, made by a command.
    written = [page for page in pages() if page.name != "reproduce.md"]
    runnable = [b for page in written for b in blocks(page) if b.language in RUNNABLE]
    marked = [b for b in runnable if b.not_run]
    with capsys.disabled():
        print(f"\n{len(runnable) - len(marked)} of {len(runnable)} blocks are run; the others:")
        for block in marked:
            print(f"  {block.where}: {block.not_run}")
    assert all(len(block.not_run) > 8 for block in marked)
    assert len(marked) < len(runnable) / 4
