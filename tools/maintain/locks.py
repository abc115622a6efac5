"""Write requirements/lock.txt and lock-common.txt: what runtime.txt needs, each file by its hash.

Needs uv (``pip install uv``) and the package index; nothing is installed. lock-cpu.txt is written
by hand: the package index has no CPU build of torch for Linux.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
# torch, and what its CUDA build needs, and no other: with the CPU build these are not installed.
TORCH = re.compile(r"torch$|nvidia-|cuda-|triton$")


def main() -> None:
    """Resolve, and share the packages out; the comments at the heads of the files stay."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal"]
    command += ["--python-version", "3.11", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["-c", "constraints.txt", "runtime.txt"]
    done = subprocess.run(command, cwd=REQUIREMENTS, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("error: uv cannot resolve them, or is not installed (pip install uv)")
    found = packages(done.stdout)
    for file, of_torch in (("lock.txt", True), ("lock-common.txt", False)):
        path = REQUIREMENTS / file
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        head = [line for line in lines if line.startswith(("#", "-r"))]
        chosen = (text for name, text in found.items() if bool(TORCH.match(name)) == of_torch)
        path.write_text("".join([*head, *chosen]), encoding="utf-8")


def packages(lock: str) -> dict[str, str]:
    """Name -> entry, hashes included, of each package that the text of a lock names."""
    return {
        entry[1]: entry[0] for entry in re.finditer(r"^([\w-]+)==.*\n(?:    .*\n)*", lock, re.M)
    }


if __name__ == "__main__":
    main()
