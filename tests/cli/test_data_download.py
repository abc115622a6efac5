"""`superres data download` against a real server on this machine."""

from __future__ import annotations

import hashlib
import tarfile
import threading
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from superres.cli.main import main
from superres.datasets import download as published
from superres.datasets.storage import open_store
from tests.datasets.trees import paired

SET = "Set5"


class _Handler(SimpleHTTPRequestHandler):
    """Serves files with ranges; the first answers break off after `server.cut` bytes."""

    def do_GET(self) -> None:
        data = (Path(self.directory) / self.path.lstrip("/")).read_bytes()
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.server.starts.append(start)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        cuts = self.server.cut
        self.wfile.write(data[start : start + cuts.pop(0)] if cuts else data[start:])

    def log_message(self, *_: object) -> None:
        """Keep silent."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server with a small benchmark.tar, whose hash stands in for the published one."""
    paired(tmp_path / "benchmark" / SET, count=5, scales=(2,))
    (tmp_path / "site").mkdir()
    archive = tmp_path / "site" / "benchmark.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(tmp_path / "benchmark", "benchmark")
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    known = published.SETS[SET]
    archives = tuple((address, digest, scale) for address, _, scale in known.archives)
    monkeypatch.setitem(published.SETS, SET, replace(known, archives=archives))
    # The library keeps whole chunks (of 10 MB) and waits between tries; a test does with less.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)

    def handler(*args):
        return _Handler(*args, directory=str(tmp_path / "site"))

    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.starts, server.cut = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _run(tmp_path, server, *more: str) -> int:
    mirror = f"http://127.0.0.1:{server.server_port}"
    where = ["--out", str(tmp_path / "data"), "--downloads", str(tmp_path / "downloads")]
    return main(["data", "download", SET, *where, "--scales", "2", "--mirror", mirror, *more])


def test_a_set_is_fetched_prepared_and_verified_and_not_fetched_again(tmp_path, server, capsys):
    assert _run(tmp_path, server, "--num-workers", "0") == 0
    assert len(open_store(tmp_path / "data" / SET / "HR.lmdb").names()) == 5
    assert "verified: no errors" in capsys.readouterr().out
    assert _run(tmp_path, server, "--num-workers", "0") == 0
    assert server.starts == [0]


def test_an_interrupted_download_goes_on_where_it_ended(tmp_path, server, capsys):
    server.cut = [3000] + [0] * 20  # the connection breaks, then nothing comes
    assert _run(tmp_path, server) == 2
    part = tmp_path / "downloads" / "benchmark.tar.part"
    assert part.stat().st_size == 3000
    assert "run the same command to go on" in capsys.readouterr().err
    server.cut.clear()
    server.starts.clear()
    assert _run(tmp_path, server, "--num-workers", "0") == 0
    assert server.starts == [3000]


def test_another_file_than_the_published_one_is_refused(tmp_path, server, capsys):
    (tmp_path / "site" / "benchmark.tar").write_bytes(b"a page that asks for a password")
    assert _run(tmp_path, server) == 2
    assert "not the published file" in capsys.readouterr().err
    assert not list((tmp_path / "downloads").iterdir())


def test_without_a_network_the_addresses_are_printed(tmp_path, server, capsys):
    server.shutdown()
    server.server_close()
    assert _run(tmp_path, server) == 2
    said = capsys.readouterr().err
    assert "/benchmark.tar" in said
    assert str(tmp_path / "downloads") in said


def test_a_set_without_a_public_address_says_where_to_ask(tmp_path, capsys):
    assert main(["data", "download", "Manga109", "--out", str(tmp_path / "data")]) == 2
    said = capsys.readouterr().err
    assert "manga109.org" in said
    assert "superres data prepare benchmark" in said
