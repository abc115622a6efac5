"""The server over HTTP: what it gives, what it takes, what it refuses."""

from __future__ import annotations

import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from superres.imaging.io import LoadedImage
from superres.serve.preview import Preview
from superres.serve.uploads import safe_name

from .conftest import NAME


def header_of(width: int, height: int) -> bytes:
    """A PNG whose header says that it is this large, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" * 10000))
    return b"\x89PNG\r\n\x1a\n" + head + data + chunk(b"IEND", b"")


def until_gone(server, identities: set[str]) -> None:
    end = time.monotonic() + 60
    while left := {folder.name for folder in server.temporary.glob("*/*/")} & identities:
        assert time.monotonic() < end, left
        time.sleep(0.05)


def test_upload_to_download(server, photo, weights, tmp_path):
    from superres import load_model

    sent = server.send(photo, "my photo.png", scale="3")
    assert sent.status == 201
    job = server.wait(sent.json["id"])
    assert job["state"] == "done", job
    assert job["size"] == [150, 100]
    assert job["result_size"] == [450, 300]
    assert job["result_name"] == "my photo_x3.png"
    got = server.ask("GET", f"/jobs/{job['id']}/result")
    assert got.headers["content-type"] == "image/png"
    assert got.headers["content-disposition"].startswith("attachment; filename")
    (tmp_path / "a.png").write_bytes(photo)
    expected = tmp_path / "b.png"
    load_model(weights, device="cpu").upscale(tmp_path / "a.png", out=expected, backend="torch")
    assert got.body == expected.read_bytes()
    assert len(got.body) == job["bytes"]
    after = Image.open(io.BytesIO(server.ask("GET", f"/jobs/{job['id']}/after").body))
    assert np.array_equal(np.asarray(after), np.asarray(Image.open(expected)))
    before = Image.open(io.BytesIO(server.ask("GET", f"/jobs/{job['id']}/before").body))
    assert np.array_equal(np.asarray(before), np.asarray(Image.open(io.BytesIO(photo))))
    token = server.config["token"]
    assert server.ask("DELETE", f"/jobs/{job['id']}", X_Superres_Token=token).status == 204
    assert server.ask("GET", f"/jobs/{job['id']}/result").status == 404
    until_gone(server, {job["id"]})


def test_a_smaller_scale_another_format_and_orientation(server):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    exif = Image.Exif()
    exif[274] = 6
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", exif=exif)
    sent = server.send(buffer.getvalue(), "turned.jpg", scale="2", format="webp")
    job = server.wait(sent.json["id"])
    assert job["state"] == "done", job
    assert job["size"] == [20, 30]  # upright
    assert job["result_size"] == [40, 60]
    assert any("resized to x2" in note for note in job["notes"])
    result = server.ask("GET", f"/jobs/{job['id']}/result")
    assert result.headers["content-type"] == "image/webp"
    assert Image.open(io.BytesIO(result.body)).format == "WEBP"
    after = Image.open(io.BytesIO(server.ask("GET", f"/jobs/{job['id']}/after").body))
    assert after.size == (40, 60)


@pytest.mark.parametrize(
    ("body", "name", "status", "message"),
    [
        (b"<!DOCTYPE html><script>alert(1)</script>", "a.png", 415, "not an image"),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", "a.svg", 415, "EPS or SVG, which is not read"),
        (b"PK\3\4" + bytes(26), "a.png", 415, "zip archive"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n(a) show", "a.png", 415, "EPS or SVG, which is not read"),
        (b"", "a.png", 415, "empty"),
        (b"\x7fELF" * 99, "a.jpg", 415, "not an image"),
        (header_of(100_000, 100_000), "a.png", 413, "100000 × 100000 pixels are more"),
        (header_of(30_000, 30_000), "a.png", 413, "30000 × 30000 pixels are more"),
        (b"\xff\xd8\xff" + b"x" * 400_000, "a.jpg", 413, "larger than the 0.293 MiB"),
    ],
)
def test_hostile_uploads_are_refused(server, body, name, status, message):
    answer = server.send(body, name)
    assert answer.status == status
    assert message in answer.json["error"]
    assert name in answer.json["error"]


def test_truncated_pictures_fail_with_a_message(server, photo):
    job = server.wait(server.send(photo[: len(photo) // 2], "cut.png").json["id"])
    assert job["state"] == "failed"
    assert job["message"].startswith("cut.png: ")
    assert "truncated" in job["message"]
    assert str(server.temporary) not in job["message"]
    assert server.ask("GET", f"/jobs/{job['id']}/result").status == 404


def test_a_body_without_a_length_is_cut_off_at_the_limit(server):
    import socket

    token = server.config["token"]
    with socket.create_connection((server.host, server.port), 60) as sock:
        head = "POST /jobs?model=" + NAME.replace("<", "%3C").replace(">", "%3E").replace(
            " ", "%20"
        )
        head += f"&scale=2&name=a.png HTTP/1.1\r\nHost: {server.host}\r\n"
        head += f"X-Superres-Token: {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
        sock.sendall(head.encode())
        block = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        for _ in range(5):  # 320 KiB: more than the limit, and no end
            sock.sendall(block)
        answer = sock.recv(4096)
    assert b"413" in answer.split(b"\r\n")[0]
    end = time.monotonic() + 30  # removed behind what is in work
    while any(server.temporary.glob("*/*/source")) and time.monotonic() < end:
        time.sleep(0.05)
    assert not list(server.temporary.glob("*/*/source"))


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd",
        "/..%2f..%2f..%2fetc%2fpasswd",
        "//etc/passwd",
        "/jobs/..%2f..%2fetc/result",
        "/jobs/x/source",
        "/templates/page.js",
        "/page.html",
        "/jobs/%00/result",
    ],
)
def test_nothing_outside_is_given(server, path):
    answer = server.ask("GET", path)
    assert answer.status in (404, 405)
    assert b"root:" not in answer.body
    assert "error" in answer.json


def test_the_upload_itself_and_other_files_of_a_job_are_not_given(server, photo):
    job = server.wait(server.send(photo).json["id"])
    for part in ("source", "result.png", "before.png", "..%2flock", "%2e%2e", "after/"):
        assert server.ask("GET", f"/jobs/{job['id']}/{part}").status in (404, 405, 307)
    assert server.ask("GET", "/jobs").status == 405  # no list of what others sent
    assert len(job["id"]) >= 32


def test_only_listed_models_scales_and_formats(server, photo, weights):
    for changes in (
        {"model": str(weights)},
        {"model": "../" + NAME},
        {"model": "edsr_x4"},
        {"scale": "4"},
        {"scale": "1e9"},
        {"scale": "nan"},
        {"format": "exe"},
    ):
        answer = server.send(photo, **changes)
        assert answer.status == 422, changes
        assert answer.json["error"]
    mine = {"name": NAME, "label": NAME, "scales": [2, 3], "own": [3]}
    assert mine in server.config["models"]
    others = {model["name"] for model in server.config["models"]} - {NAME}
    assert others <= {"auto", "edsr-s", "edsr-photo"}  # what comes with the package
    assert str(weights.parent) not in server.ask("GET", "/").body.decode()


def test_other_names_for_this_computer_are_refused(server):
    evil = "evil.example"
    for host in (evil, f"{evil}:{server.port}", f"127.0.0.1.{evil}", "", "10.0.0.1"):
        answer = server.ask("GET", "/", host=host)
        assert answer.status == 403, host
        assert server.config["token"].encode() not in answer.body
    for host in (f"localhost:{server.port}", "127.0.0.1", "LOCALHOST:9999", f"[::1]:{server.port}"):
        assert server.ask("GET", "/", host=host).status == 200, host


def test_other_pages_cannot_send(server, photo):
    token = server.config["token"]
    own = f"http://{server.host}:{server.port}"
    path = "/jobs?scale=2&name=a.png&model=" + NAME.replace("<", "%3C").replace(" ", "%20")
    for headers in ({}, {"X_Superres_Token": "wrong"}, {"Origin": own}):
        assert server.ask("POST", path, photo, **headers).status == 403, headers
    for method in ("OPTIONS", "PUT", "TRACE", "DELETE"):
        assert server.ask(method, "/").status == 403
        assert server.ask(method, "/", X_Superres_Token=token).status == 405
    sent = server.ask("POST", path, photo, X_Superres_Token=token, Origin=own)
    assert sent.status == 201
    server.wait(sent.json["id"])


def test_every_answer_has_its_security_headers(server):
    for path in ("/", "/nothing", "/jobs/x"):
        headers = server.ask("GET", path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_names_of_files_are_made_harmless(server, photo):
    for name in ("../../../etc/cron.d/x.png", "..\\..\\x.png", 'a"\r\nSet-Cookie: b=c\r\n.png'):
        job = server.wait(server.send(photo, name).json["id"])
        assert "/" not in job["name"] + job["result_name"]
        headers = server.ask("GET", f"/jobs/{job['id']}/result").headers
        assert "set-cookie" not in headers
    assert safe_name("a/b\\c\0d\n<e>.png") == "cde.png"
    assert safe_name("\u202egnp.exe") == "gnp.exe"
    assert safe_name("..") == safe_name("") == safe_name("///") == "picture"
    assert len(safe_name("ä" * 500 + ".png").encode()) < 140
    assert safe_name(".hidden.png") == "hidden.png"


def test_the_queue_is_limited_and_jobs_can_be_cancelled(server):
    picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=60)
    token = server.config["token"]
    sent, refused = [], None
    for _ in range(40):
        answer = server.send(buffer.getvalue(), ensemble="1")
        if answer.status == 429:
            refused = answer
            break
        sent.append(answer.json["id"])
    assert refused is not None
    assert refused.json["error"] == "8 images are waiting already; try again later"
    assert server.ask("GET", f"/jobs/{sent[-1]}").json["state"] == "queued"
    assert server.ask("GET", f"/jobs/{sent[-1]}").json["ahead"] >= 1
    for identity in sent:
        assert server.ask("DELETE", f"/jobs/{identity}", X_Superres_Token=token).status == 204
    until_gone(server, set(sent))


@pytest.mark.parametrize("shape", [(7000, 3000, 3), (2, 2_000_000, 1), (4000, 4000, 4)])
def test_large_previews_are_reduced(shape):
    pixels = np.zeros((shape[0], shape[1], 1), np.uint8)
    pixels = np.broadcast_to(pixels + 80, shape)
    preview = Preview(*shape[:2], LoadedImage(pixels[:1], "png"), pixels=100_000)
    for start in range(0, shape[0], 37):
        preview.add(np.ascontiguousarray(pixels[start : start + 37]))
    image = Image.open(io.BytesIO(preview.png()))
    assert image.width * image.height <= 101_000
    assert np.unique(np.asarray(image)).tolist() == [80]
