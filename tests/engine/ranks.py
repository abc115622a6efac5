"""Ranks started one by one, without a launcher that would end the others when one fails."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from .conftest import command, start


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(rank: int, size: int, port: int, **more: str) -> dict[str, str]:
    """What a launcher tells one rank."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        **more,
    }


def start_ranks(
    options: list[str],
    work_dir: Path,
    *extra: list[str],
    minutes: float = 2,
    env: dict[str, str] | None = None,
    **flags: str,
) -> list[subprocess.Popen]:
    """One process per list of ``extra`` options, rank 0 first."""
    port = free_port()
    size = len(extra)
    settings = {"SUPERRES_DIST_TIMEOUT_MINUTES": str(minutes), **(env or {})}
    return [
        start(
            command(options, work_dir, *more, launcher="pytorch", **flags),
            **environment(rank, size, port, **settings),
        )
        for rank, more in enumerate(extra)
    ]


def ended(processes: list[subprocess.Popen], seconds: float = 120) -> list[tuple[int, str]]:
    """(exit code, output) of each, which must come in time; kills what is left otherwise."""
    try:
        outputs = [process.communicate(timeout=seconds)[0] for process in processes]
        return [(process.returncode, output) for process, output in zip(processes, outputs)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
