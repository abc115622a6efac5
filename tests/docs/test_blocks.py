"""The reader of code blocks itself."""

from __future__ import annotations

import pytest

from tests.docs import blocks as module
from tests.docs.runner import check_block, command_lines, superres_arguments

PAGE = """# A page

```bash
superres doctor
```

<!-- not run: needs Slurm -->
```bash
tools/slurm_train.sh gpu job edsr_x2c64b16_g1_300k_div2k --seed 1
```

1. A list

   ```python title="x.py"
   a = 1
   ```

<!-- needs: onnx -->

````text
```
````
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_blocks_are_found_with_their_markers(page):
    first, second, third, fourth = module.blocks(page)
    assert (first.language, first.line, first.not_run) == ("bash", 4, None)
    assert second.not_run == "needs Slurm"
    assert (third.title, third.code) == ("x.py", "a = 1\n")
    assert fourth.needs == "onnx"
    assert fourth.code == "```\n"


@pytest.mark.parametrize(
    "text", ["```bash\nls\n", "<!-- not run: far from it -->\n\nText\n\n```bash\nls\n```\n"]
)
def test_broken_pages_are_refused(page, text):
    page.write_text(text)
    with pytest.raises(ValueError):
        module.blocks(page)


def test_lines_are_joined_and_comments_dropped():
    assert [line.split() for line in command_lines("# no\na \\\n  b  # why\n\nc\n")] == [
        ["a", "b", "#", "why"],
        ["c"],
    ]


def test_tools_are_superres_commands():
    assert superres_arguments(["python", "tools/print_config.py", "x"]) == ["print-config", "x"]
    assert superres_arguments(["pip", "install", "superres"]) is None


@pytest.mark.parametrize(
    "command",
    [
        "superres upscale --no-such-option x.png",
        "superres upscal x.png",
        "python tools/train.py no_such_config",
        "tools/no_such.sh",
        "tools/dist_train.sh edsr_x2c64b16_g1_300k_div2k 2 --no-such-option",
        "X=1 superres train edsr_x2c64b16_g1_300k_div2k && superres tabel a",
    ],
)
def test_wrong_commands_are_found(page, command):
    page.write_text(f"<!-- not run: a test -->\n```bash\n{command}\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md:3"):
        check_block(module.blocks(page)[0])


def test_wrong_python_is_found(page):
    page.write_text("<!-- not run: a test -->\n```python\nx =\n```\n")
    with pytest.raises(SyntaxError):
        check_block(module.blocks(page)[0])


def test_right_commands_are_accepted(page):
    for block in module.blocks(page):
        check_block(block)
