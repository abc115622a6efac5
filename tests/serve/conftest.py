"""A real ``superres serve`` in a process of its own, with a network made here."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed: pip install 'superres[serve]'")
pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install 'superres[serve]'")

ROOT = Path(__file__).resolve().parents[2]
NAME = "tiny<img src=x onerror=alert(1)>.safetensors"


@dataclass
class Answer:
    """Status, headers (lower case) and body of an answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict:
        return json.loads(self.body)


class Server:
    """The command, running."""

    def __init__(self, weights: Path, temporary: Path, *options: str, **env: str) -> None:
        self.temporary = temporary
        temporary.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, str(ROOT / "tools" / "serve.py"), "--port", "0"]
        command += ["--model", str(weights), "--backend", "torch", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), **env},
        )
        self.said = ""
        while not (found := re.search(r"http://([\w.\[\]:]+):(\d+)/", self.said)):
            line = self.process.stdout.readline()
            assert line, self.said
            self.said += line
        self.url, self.host, self.port = found[0], found[1], int(found[2])
        self.config = json.loads(
            re.search(r'id="config">(.*?)</script>', self.ask("GET", "/").body.decode())[1]
        )

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """One request; header names with _ for -."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body is not None and "content_length" not in headers:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            found = {k.lower(): v for k, v in answer.getheaders()}
            return Answer(answer.status, found, answer.read())
        finally:
            connection.close()

    def send(self, body: bytes, name: str = "a.png", **changes: str) -> Answer:
        """An upload, as the page makes it; ``changes`` to its query."""
        query = {"model": self.config["models"][0]["name"], "scale": "2", "name": name, **changes}
        return self.ask(
            "POST", f"/jobs?{urlencode(query)}", body, X_Superres_Token=self.config["token"]
        )

    def wait(self, identity: str, seconds: float = 60) -> dict:
        """The job when it is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            job = self.ask("GET", f"/jobs/{identity}").json
            if job["state"] in ("done", "failed", "cancelled"):
                return job
            time.sleep(0.05)
        raise AssertionError(f"not over after {seconds} s: {job}")

    def end(self, number: int = signal.SIGINT) -> int:
        """Press Ctrl-C (or send another signal); the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=60)
        self.said += rest or ""
        return self.process.returncode


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A tiny x3 network, in a file with an unpleasant name."""
    import torch

    import superres.models  # noqa: F401 - registers the networks
    from superres.checkpoints import save_safetensors
    from superres.registry import MODELS

    config = {"type": "EDSR", "scale": 3, "channels": 8, "num_blocks": 1}
    torch.manual_seed(0)
    net = MODELS.build(config)
    return save_safetensors(tmp_path_factory.mktemp("weights") / NAME, net, config)


@pytest.fixture(scope="module")
def server(weights, tmp_path_factory):
    """A server with small limits."""
    limits = ("--max-upload", "300K", "--max-pixels", "2M")
    running = Server(weights, tmp_path_factory.mktemp("serve"), *limits)
    yield running
    running.end()


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 150x100 with structure."""
    import cv2

    y, x = np.mgrid[0:100, 0:150]
    planes = [np.sin(x / 7) * np.cos(y / 9), np.sin((x + y) / 11), np.cos(x * y / 900)]
    picture = np.uint8(127.5 + 120 * np.stack(planes, 2))
    return cv2.imencode(".png", picture)[1].tobytes()
