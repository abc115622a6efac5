"""What Windows and macOS lack is hidden from Python: superres does without it."""

from __future__ import annotations

import os
import subprocess
import sys

from .engine.conftest import CONFIG, ROOT, make_world, tiny_options

HIDE = """
import asyncio, multiprocessing, os, signal, sys  # asyncio takes fcntl on this system
sys.modules |= dict.fromkeys(("fcntl", "resource", "pwd", "grp"))
missing = {
    os: "fork forkpty memfd_create sched_getaffinity pread pwrite "
    "statvfs getloadavg killpg O_NOFOLLOW O_NONBLOCK O_DIRECTORY",
    signal: "SIGUSR1 SIGUSR2 SIGHUP SIGKILL SIGALRM setitimer ITIMER_REAL pthread_sigmask",
}
for module, names in missing.items():
    for name in names.split():
        delattr(module, name)


def of_closed_files(act):
    def checked(path, *more, **named):
        files = (os.path.realpath(f"/dev/fd/{n}") for n in os.listdir("/dev/fd"))
        if os.path.realpath(path) in files:
            raise PermissionError(13, "Windows renames and removes no open file", path)
        return act(path, *more, **named)

    return checked


os.replace, os.unlink, os.remove = map(of_closed_files, (os.replace, os.unlink, os.remove))
for method in ("fork", "forkserver"):
    del multiprocessing.context._concrete_contexts[method]
multiprocessing.set_start_method("spawn")
"""
PROGRAM = """
import pkgutil, sys
import numpy, superres
from superres.cli.main import main

if __name__ == "__main__":
    config, image, options = sys.argv[1], sys.argv[2], sys.argv[3:]
    for module in pkgutil.walk_packages(superres.__path__, "superres."):
        __import__(module.name)
    assert main(["upscale", image, "-o", "larger.png", "-s", "2"]) == 0
    assert superres.load_model("edsr-s", 2).upscale(image, backend="torch").width == 144
    assert main(["train", config, "--work-dir", "work", "--cfg-options", *options]) == 0
    options[-1] = "max_iters=4"
    assert main(["train", config, "--work-dir", "work", "--resume", "--cfg-options", *options]) == 0
    assert main(["test", config, "work/best.pth", "--out", "out", "--cfg-options", *options]) == 0
    assert main(["score", "out/images/none", "out", "-s", "2"]) == 2
"""


def test_import_upscale_load_train_resume_test_without_what_unix_has(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(HIDE)
    (tmp_path / "program.py").write_text(PROGRAM)
    world = make_world(tmp_path)
    options = [o for o in tiny_options(world) if not o.startswith("num_workers")]
    options += ["num_workers=2", "max_iters=2"]
    path = os.pathsep.join([str(tmp_path), str(ROOT), os.environ.get("PYTHONPATH", "")])
    image = str(next((world / "testset").glob("*.png")))
    command = [sys.executable, "program.py", CONFIG, image, *options]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "iter 4/4" in done.stdout
