"""Beginning and end of a session: ports, hosts, signals, what stays."""

from __future__ import annotations

import io
import signal
import socket
import time
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from superres.cli.main import main

from .conftest import Server


def files_in(folder: Path) -> list[str]:
    """Files below it, and folders of ours; torch makes an empty one of its own."""
    found = [p for p in folder.rglob("*") if p.is_file() or "superres" in p.name]
    return [str(p) for p in found]


def test_the_page_opens_and_ctrl_c_removes_everything_but_what_is_kept(weights, photo, tmp_path):
    browser = tmp_path / "browser.sh"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    options = ("--keep", str(tmp_path / "kept"), "--open")
    server = Server(weights, tmp_path / "tmp", *options, BROWSER=f"{browser} %s")
    for _ in range(2):
        job = server.wait(server.send(photo, "p.png").json["id"])
        assert job["state"] == "done", job
    result = server.ask("GET", f"/jobs/{job['id']}/result").body
    (folder,) = (tmp_path / "tmp").glob("superres-serve-*")
    assert folder.stat().st_mode & 0o077 == 0
    end = time.monotonic() + 30
    while not (tmp_path / "opened").exists() or not (tmp_path / "opened").read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert (tmp_path / "opened").read_text() == server.url
    assert server.end() == 130
    assert "interrupted" in server.said
    assert "Traceback" not in server.said
    assert files_in(tmp_path / "tmp") == []
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert kept == ["p_x2.png", "p_x2_2.png"]
    assert (tmp_path / "kept" / "p_x2_2.png").read_bytes() == result


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_ends_in_the_midst_of_work(weights, tmp_path, number):
    server = Server(weights, tmp_path / "tmp")
    buffer = io.BytesIO()
    picture = np.random.default_rng(0).integers(0, 256, (1200, 1500, 3), np.uint8)
    Image.fromarray(picture).save(buffer, "JPEG")
    identity = server.send(buffer.getvalue(), ensemble="1").json["id"]
    while server.ask("GET", f"/jobs/{identity}").json["phase"] != "upscaling":
        time.sleep(0.02)
    assert server.end(number) == 143
    assert "Traceback" not in server.said
    assert files_in(tmp_path / "tmp") == []


def test_an_end_in_the_midst_of_an_upload(weights, tmp_path):
    server = Server(weights, tmp_path / "tmp")
    query = urlencode({"model": server.config["models"][0]["name"], "scale": 2, "name": "a.png"})
    with socket.create_connection((server.host, server.port)) as half:
        half.sendall(
            f"POST /jobs?{query} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\n"
            f"X-Superres-Token: {server.config['token']}\r\nContent-Length: 9000\r\n\r\n".encode()
        )
        while not list((tmp_path / "tmp").glob("superres-serve-*/*/*")):
            time.sleep(0.02)
        assert server.end(signal.SIGTERM) == 143
    assert "Traceback" not in server.said
    assert "CancelledError" not in server.said
    assert files_in(tmp_path / "tmp") == []


def test_a_port_in_use_is_a_message(weights, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["serve", "--model", str(weights), "--port", port]) == 2
    error = capsys.readouterr().err
    assert f"port {port} on 127.0.0.1 is not available (Address already in use" in error
    assert "--port 0" in error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--port", "99999"], "port 99999 does not exist; ports go from 0"),
        (["--host", "no.such.host.invalid"], "port 0 on no.such.host.invalid is not available"),
        (["--max-upload", "lots"], "--max-upload takes a positive number"),
        (["--backend", "tensorrt"], "backend 'tensorrt' is not known; choose auto"),
        (["--device", "abacus"], "device 'abacus' cannot be used here"),
        (["--model", "no-such-file.pth"], "no-such-file.pth"),
        (["--keep", "/dev/null/x"], "--keep /dev/null/x: cannot be written"),
    ],
)
def test_mistakes(options, message, weights, capsys):
    defaults = {"--model": str(weights), "--port": "0"}
    given = [word for pair in defaults.items() if pair[0] not in options for word in pair]
    assert main(["serve", *given, *options]) == 2
    assert message in capsys.readouterr().err


def test_another_host_is_warned_of_and_takes_addresses(weights, tmp_path):
    server = Server(weights, tmp_path, "--host", "0.0.0.0")
    try:
        assert "warning: --host 0.0.0.0 lets every computer" in server.said
        assert server.ask("GET", "/", host="192.168.1.7:8765").status == 200
        assert server.ask("GET", "/", host="evil.example").status == 403
    finally:
        server.end()


def test_connections_that_say_nothing_keep_nobody_out(server):
    silent = [socket.create_connection((server.host, server.port), 30) for _ in range(80)]
    for connection in silent:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: ")
    assert server.ask("GET", "/").status == 200
    for connection in silent:  # they are closed in time
        assert (connection.recv(1), connection.close()) == (b"", None)


def test_only_this_computer_by_default(server):
    sockets = Path(f"/proc/{server.process.pid}/net/tcp")
    if not sockets.exists():
        pytest.skip("no /proc/PID/net/tcp here to see where it listens")
    lines = [line.split() for line in sockets.read_text().splitlines()[1:]]
    listening = [line[1].split(":") for line in lines if line[3] == "0A"]
    places = {address for address, port in listening if int(port, 16) == server.port}
    assert places == {"0100007F"}


def test_the_missing_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "starlette")
    assert main(["serve"]) == 2
    assert "needs starlette: pip install 'superres[serve]'" in capsys.readouterr().err
