"""The reader of code blocks itself."""

from __future__ import annotations

import pytest

from tests.docs import blocks as module
from tests.docs.runner import check_block

PAGE = """# A page

<!-- not run: needs Slurm -->
```bash
superres doctor
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
    return tmp_path / "page.md"


def test_blocks_are_found_with_their_markers(page):
    page.write_text(PAGE)
    first, second, third = module.blocks(page)
    assert (first.language, first.line, first.not_run) == ("bash", 5, "needs Slurm")
    assert (second.title, second.code, second.not_run) == ("x.py", "a = 1\n", None)
    assert (third.needs, third.code) == ("onnx", "```\n")
    page.write_text("<!-- not run: far from it -->\n\nText\n\n```bash\nls\n```\n")
    with pytest.raises(ValueError):
        module.blocks(page)


def test_wrong_commands_are_found(page):
    for command in (
        "superres upscale \\\n --no-such-option x.png",
        "python tools/train.py no_such_config",
        "tools/no_such.sh",
        "X=1 superres tabel a",
    ):
        page.write_text(f"<!-- not run: a test -->\n```bash\n{command}\n```\n")
        with pytest.raises(AssertionError, match=r"page\.md:3"):
            check_block(module.blocks(page)[0])
