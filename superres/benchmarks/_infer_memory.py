"""The peak memory of enlarging one picture, in a process of its own: ``python -m`` this module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from superres.benchmarks._watch import kilobytes


def peak_megabytes(job: dict[str, Any]) -> float:
    """Run `main` with ``job`` in a new process; the most memory it held, in MB (10^6 bytes)."""
    command = [sys.executable, "-m", __name__, json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"measuring memory failed: {done.stderr.strip()[-600:]}")
    return json.loads(done.stdout.splitlines()[-1])["megabytes"]


def main(job: dict[str, Any]) -> float:
    """Enlarge one random picture and tell this process's peak memory in MB.

    Args:
        job: ``scale, height, width, backend`` (a back end, or ``eager``), ``tile`` (as in
            `upscale_tensor`), ``threads``.
    """
    import torch

    from superres.benchmarks.infer import network
    from superres.inference import upscale_tensor
    from superres.inference.backends import best

    torch.set_num_threads(job["threads"])
    net = network(job["scale"])
    if job["backend"] != "eager":
        net = best(net, "cpu", job["backend"])
    x = torch.rand((1, 3, job["height"], job["width"]))
    upscale_tensor(net, x, tile=job["tile"])
    return _peak()


def _peak() -> float:
    # getrusage() would count the parent's memory at the time of the fork, this does not.
    status = Path("/proc/self/status")
    if status.exists():
        return kilobytes(status)["VmHWM"] * 1024 / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    print(json.dumps({"megabytes": main(json.loads(sys.argv[1]))}))
