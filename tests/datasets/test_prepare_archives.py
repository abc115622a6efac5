"""Archives; broken and hostile ones refused, with nothing written by them."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from superres.datasets.prepare import Options, archives, prepare
from superres.datasets.storage import open_store
from superres.errors import UserError
from superres.imaging.io import encode_image
from tests.datasets.trees import picture

PNG = {i: encode_image(picture(i), ".png") for i in range(4)}


def run(root: Path, out: Path, recipe: str = "folder", **options):
    return prepare(recipe, Options(root=root, out=out, scales=(2,), num_workers=0, **options))


def refused(root: Path, out: Path, recipe: str = "folder") -> str:
    with pytest.raises(UserError) as caught:
        run(root, out, recipe)
    assert not list(out.rglob("*.mdb")) if out.exists() else True
    return str(caught.value)


def zip_of(path: Path, members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def tar_of(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            if isinstance(data, tarfile.TarInfo):
                archive.addfile(data)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(data)
            info.mtime = 1_600_000_000
            archive.addfile(info, io.BytesIO(data))
    return path


MEMBERS = {f"set/{i}.png": PNG[i] for i in range(4)}


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.xz", "a.tar.bz2"])
def test_every_kind_of_archive(name, tmp_path):
    source = tmp_path / "s"
    members = {**MEMBERS, "__MACOSX/set/._0.png": b"junk", "set/.hidden.png": b"", "set/a.txt": b""}
    if name.endswith(".zip"):
        zip_of(source / name, members, zipfile.ZIP_DEFLATED)
    else:
        modes = {"a.tar": "w", "a.tar.xz": "w:xz", "a.tar.bz2": "w:bz2"}
        tar_of(source / name, members, modes.get(name, "w:gz"))
    (report,) = run(source, tmp_path / "d", name="set")
    store = open_store(tmp_path / "d/set/HR.lmdb")
    assert list(store.names()) == ["0", "1", "2", "3"]
    for i in range(4):
        np.testing.assert_array_equal(store.read(str(i)), picture(i))
    assert report.verification["ok"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "s"], "no temporary folder is left"
    (again,) = run(source / name, tmp_path / "d", name="set")
    assert [p["added"] for p in again.packs] == [0, 0], "also when extracted anew"


def test_half_a_zip(tmp_path):
    path = zip_of(tmp_path / "s" / "DIV2K_train_HR.zip", {"DIV2K_train_HR/0001.png": PNG[1]})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    text = refused(tmp_path / "s", tmp_path / "d", "div2k")
    assert "DIV2K_train_HR.zip: not a whole archive" in text
    assert f"{len(data) // 2} bytes" in text
    assert "fetch it again" in text
    path.write_bytes(b"")
    assert "not a whole archive" in refused(tmp_path / "s", tmp_path / "d", "div2k")


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz")])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_a_tar_that_is_cut_off(name, mode, share, tmp_path):
    path = tar_of(tmp_path / "s" / name, MEMBERS, mode)
    size = path.stat().st_size
    if mode == "w":  # within the members: the rest is only padding
        size = sum(512 + -(-len(data) // 512) * 512 for data in MEMBERS.values())
    os.truncate(path, int(size * share))
    assert "not a whole" in refused(tmp_path / "s", tmp_path / "d")


def test_a_tar_cut_between_two_members(tmp_path):
    path = tar_of(tmp_path / "s" / "a.tar", MEMBERS)
    os.truncate(path, 2 * 512 + -(-len(PNG[0]) // 512) * 512 - 512)
    assert "not a whole archive" in refused(tmp_path / "s", tmp_path / "d")


def test_a_damaged_member_is_named(tmp_path):
    path = zip_of(tmp_path / "s" / "a.zip", MEMBERS)
    data = bytearray(path.read_bytes())
    data[data.index(PNG[2]) + 60] ^= 0xFF
    path.write_bytes(data)
    assert "set/2.png" in refused(tmp_path / "s", tmp_path / "d")


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png"]
)
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_path_traversal(kind, name, tmp_path):
    source = tmp_path / "deep" / "er" / "s"
    if kind == "zip":
        zip_of(source / "a.zip", {"ok.png": PNG[0], name: PNG[1]})
    else:
        tar_of(
            source / f"a.{kind}", {"ok.png": PNG[0], name: PNG[1]}, "w:gz" if "gz" in kind else "w"
        )
    text = refused(source, tmp_path / "deep" / "er" / "d")
    assert "would lead out of the folder" in text
    assert repr(name)[1:-1] in text
    assert not list(tmp_path.rglob("e*.png"))


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "hard", "device"])
def test_links_and_devices(kind, tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(PNG[3])
    if kind == "zip":
        (tmp_path / "s").mkdir()
        with zipfile.ZipFile(tmp_path / "s" / "a.zip", "w") as archive:
            info = zipfile.ZipInfo("x.png")
            info.create_system = 3
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, str(secret))
    else:
        link = tarfile.TarInfo("x.png")
        link.type = {"hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE}.get(kind, tarfile.SYMTYPE)
        link.linkname = str(secret)
        name = "a.tar.gz" if kind == "tar.gz" else "a.tar"
        tar_of(tmp_path / "s" / name, {"0.png": PNG[0], "x": link}, "w:gz" if "gz" in name else "w")
    text = refused(tmp_path / "s", tmp_path / "d")
    assert "'x.png' is a link, or no plain file" in text


def test_more_than_the_disk_has_room_for(tmp_path, monkeypatch):
    many = {f"{i}.bmp": bytes(6 << 20) for i in range(3)}
    zip_of(tmp_path / "a" / "a.zip", many, zipfile.ZIP_DEFLATED)
    tar_of(tmp_path / "b" / "a.tar.gz", many, "w:gz")
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: SimpleNamespace(free=17 << 20))
    for source in ("a", "b"):
        text = refused(tmp_path / source, tmp_path / "d")
        assert "refused, it takes 18 MiB" in text
        assert "has 17 MiB free" in text


def test_a_picture_that_is_a_bomb_by_itself(tmp_path):
    huge = encode_image(np.zeros((1, 1, 3), np.uint8), ".png")
    import zlib

    header = b"IHDR" + (60000).to_bytes(4, "big") * 2 + huge[24:29]
    huge = huge[:12] + header + zlib.crc32(header).to_bytes(4, "big") + huge[33:]
    zip_of(tmp_path / "e" / "a.zip", {"0.png": huge, "1.png": PNG[1]})
    (report,) = run(tmp_path / "e", tmp_path / "d", name="set")
    assert "60000x60000 pixels are more than the limit" in report.failed[0][1]


def test_encrypted_and_unreadable_kinds(tmp_path):
    path = zip_of(tmp_path / "a" / "a.zip", MEMBERS)
    data = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    assert "encrypted" in refused(tmp_path / "a", tmp_path / "d")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.7z").write_bytes(b"7z")
    assert "extract it first" in refused(tmp_path / "b", tmp_path / "d")


def test_an_archive_of_another_name_is_not_looked_into(tmp_path):
    zip_of(tmp_path / "s" / "holiday.zip", {"DIV2K_train_HR/0001.png": PNG[1]})
    text = refused(tmp_path / "s", tmp_path / "d", "div2k")
    assert "not looked into because of their names: holiday.zip" in text
    (report,) = run(tmp_path / "s" / "holiday.zip", tmp_path / "d", "div2k", allow_partial=True)
    assert report.packs[0]["count"] == 1


def test_folders_win_over_the_archive_they_came_from(tmp_path):
    zip_of(tmp_path / "s" / "DIV2K_train_HR.zip", {"DIV2K_train_HR/0001.png": PNG[1]})
    folder = tmp_path / "s" / "DIV2K_train_HR"
    folder.mkdir()
    (folder / "0001.png").write_bytes(PNG[2])
    run(tmp_path / "s", tmp_path / "d", "div2k", allow_partial=True)
    stored = open_store(tmp_path / "d/DIV2K_train/HR.lmdb").read("0001")
    np.testing.assert_array_equal(stored, picture(2))


def test_a_link_that_leads_back_up_ends(tmp_path):
    source = tmp_path / "s"
    (source / "a").mkdir(parents=True)
    (source / "a" / "0.png").write_bytes(PNG[0])
    (source / "a" / "loop").symlink_to(source)
    (report,) = run(source, tmp_path / "d")
    assert report.packs[0]["count"] == 1


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_a_member_below_thousands_of_folders(kind, tmp_path):
    members = {"ok.png": PNG[0], "d/" * 2000 + "x.png": PNG[1]}
    if kind == "zip":
        zip_of(tmp_path / "s" / "a.zip", members)
    else:
        tar_of(tmp_path / "s" / f"a.{kind}", members, "w:gz" if "gz" in kind else "w")
    assert "lies more than 100 folders deep" in refused(tmp_path / "s", tmp_path / "d")
