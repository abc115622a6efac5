"""Torch's settings, the weights that came along, and two seconds of work with a network."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from superres.cli._doctor.findings import Findings
from superres.cli._doctor.packages import NEEDED, load

_SELF_TEST = "self-test"


def look_at_torch(findings: Findings) -> None:
    """Its threads and what it was built with."""
    if load(findings, "torch") is None:
        findings.fact("torch", "settings", "not known without torch")
        return
    import torch

    say = findings.fact
    threads = torch.get_num_threads()
    say("torch", "threads within an operation", threads)
    say("torch", "threads for operations", torch.get_num_interop_threads())
    say("torch", "CPU capability", torch.backends.cpu.get_cpu_capability())
    say("torch", "oneDNN", "yes" if torch.backends.mkldnn.is_available() else "no")
    say("torch", "float32 products", torch.get_float32_matmul_precision())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if usable and threads == 1 and usable > 2:
        findings.note(
            f"torch uses one thread of {usable} cores"
            + (": OMP_NUM_THREADS is set" if "OMP_NUM_THREADS" in os.environ else "")
        )


def look_at_weights(findings: Findings, folder: Path | None = None) -> None:
    """The weight files of the package (those in ``folder``): there, and whole."""
    import superres

    folder = folder or Path(superres.__file__).parent / "weights"
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        findings.fact("shipped weights", "files", "none: name a weight file with --model")
        findings.note(
            "no weights came with this installation; commands take --model FILE, or the name of a "
            "published network"
        )
    if load(findings, "safetensors") is None or load(findings, "torch") is None:
        for file in files:
            findings.fact("shipped weights", file.stem, "not opened: that needs safetensors, torch")
        return
    import safetensors

    for file in files:
        try:
            with safetensors.safe_open(file, framework="pt") as content:
                count = sum(content.get_tensor(key).numel() for key in content.keys())  # noqa: SIM118
                named = "superres" in "".join(content.metadata() or {})
            findings.fact("shipped weights", file.stem, f"{count:,} numbers")
            if not named:
                findings.problem(
                    f"{file.name}: has no network config", "install superres again (pip, or git)"
                )
        except Exception as error:  # damaged, a Git LFS pointer, unreadable
            findings.fact("shipped weights", file.stem, "BROKEN")
            findings.problem(
                f"the shipped weights {file.name} cannot be opened ({error})",
                "install superres again; in a checkout: git lfs pull, or git checkout the file",
            )


def look_at_a_network(findings: Findings) -> None:
    """A small network: right numbers, tiles equal the whole, written and read back the same."""
    missing = [package for module, package in NEEDED.items() if load(findings, module) is None]
    if missing:
        findings.fact(_SELF_TEST, "result", f"not run, for want of {', '.join(missing)}")
        return
    begin = time.monotonic()
    passed = True

    def check(name: str, difference: float, bound: float) -> None:
        nonlocal passed
        good = difference <= bound
        passed &= good
        verdict = "" if good else f", more than {bound:g}: FAILED"
        findings.fact(_SELF_TEST, name, f"largest difference {difference:.1e}{verdict}")

    try:
        _work(findings, check)
    except Exception as error:  # whatever it is, it is what the person needs to hear
        passed = False
        findings.fact(_SELF_TEST, "error", f"{type(error).__name__}: {error}")
    findings.fact(_SELF_TEST, "seconds", f"{time.monotonic() - begin:.1f}")
    findings.fact(_SELF_TEST, "result", "passed" if passed else "FAILED")
    if not passed:
        findings.problem(
            "the self-test of a small network failed, see above",
            "install torch again in a fresh environment; if it stays, report it with this text",
        )


def _work(findings: Findings, check: object) -> None:
    import numpy as np
    import torch

    import superres.models  # noqa: F401 - registers the networks
    from superres.checkpoints import load_model, save_safetensors
    from superres.inference import upscale_tensor
    from superres.inference.backends import best
    from superres.registry import MODELS

    draw = np.random.default_rng(0)
    picture, kernel = draw.random((3, 20, 24)), draw.standard_normal((4, 3, 3, 3))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (3, 3), axis=(1, 2))
    expected = np.einsum("cyxij,kcij->kyx", windows, kernel)
    got = torch.conv2d(torch.from_numpy(picture[None]).float(), torch.from_numpy(kernel).float())
    check("convolution, torch and numpy", float(np.abs(got[0].numpy() - expected).max()), 1e-4)

    config = {"type": "EDSR", "scale": 2, "channels": 16, "num_blocks": 2}
    torch_state = torch.random.get_rng_state()
    torch.manual_seed(0)
    net = MODELS.build(config).eval()
    torch.random.set_rng_state(torch_state)
    x = torch.from_numpy(draw.random((1, 3, 60, 52))).float()
    with torch.no_grad():
        whole = net(x)
    tiles = upscale_tensor(net, x, tile=24)
    check("tiles and the whole", float((tiles - whole).abs().max()), 1e-4)
    with tempfile.TemporaryDirectory(prefix="superres-doctor-") as folder:
        file = save_safetensors(Path(folder) / "small.safetensors", net, config)
        again = load_model(file, device="cpu")
    with torch.no_grad():
        check("written and read back", float((again(x) - whole).abs().max()), 0.0)
    back_end = best(net)
    check(f"back end {back_end.name}", float((back_end(x) - whole).abs().max()), 1e-4)
    for note in back_end.notes:
        findings.note(note)
    if torch.cuda.is_available():
        on_gpu = best(net, "cuda")
        check("cuda:0", float((on_gpu(x.cuda()).cpu() - whole).abs().max()), 1e-2)
