"""Archives: broken and hostile ones refused, with nothing written by them."""

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

from superres.datasets.prepare import Options, prepare, source
from superres.datasets.storage import open_store
from superres.errors import UserError
from superres.imaging.io import encode_image
from tests.datasets.trees import picture, put

PNG = {i: encode_image(picture(i), ".png") for i in range(4)}
MEMBERS = {f"set/{i}.png": PNG[i] for i in range(4)}
KINDS = ("zip", "tar", "tar.gz")


def run(root: Path, out: Path, recipe: str = "folder", **options):
    options = Options(root=root, out=out, scales=(2,), num_workers=0, name="set", **options)
    return prepare(recipe, options)


def refused(root: Path, out: Path, recipe: str = "folder") -> str:
    with pytest.raises(UserError) as caught:
        run(root, out, recipe)
    assert not out.exists()
    assert not list(out.parent.glob(".*")), "nothing is left beside it"
    return str(caught.value)


def names_of(store: Path) -> list[str]:
    return list(open_store(store / "set" / "HR.lmdb").names())


def archive_of(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    """A zip or tar, by the name of its file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    mode = {".gz": "w:gz", ".tgz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = data if isinstance(data, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = 0 if info is data else len(data)
            archive.addfile(info, None if info is data else io.BytesIO(data))
    return path


@pytest.mark.parametrize("kind", [*KINDS, "tgz", "tar.xz", "tar.bz2"])
@pytest.mark.parametrize("below", ["set/", ""])
def test_every_kind_of_archive(kind, below, tmp_path):
    members = {f"{below}{i}.png": PNG[i] for i in range(4)}
    members |= {"__MACOSX/set/._0.png": b"junk", f"{below}.hidden.png": b"", f"{below}a.txt": b""}
    archive = archive_of(tmp_path / "s" / f"a.{kind}", members)
    record = run(tmp_path / "s", tmp_path / "d")
    assert record["ok"]
    assert names_of(tmp_path / "d") == ["0", "1", "2", "3"]
    store = open_store(tmp_path / "d/set/HR.lmdb")
    for i in range(4):
        np.testing.assert_array_equal(store.read(str(i)), picture(i))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d", "s"], "no temporary folder is left"
    (again,) = run(archive, tmp_path / "d")["sets"]
    assert [p["added"] for p in again["packs"]] == [0, 0], "also when extracted again"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
def test_an_archive_that_is_cut_off(kind, share, tmp_path):
    path = archive_of(tmp_path / "s" / f"DIV2K_train_HR.{kind}", MEMBERS)
    size = path.stat().st_size
    if kind == "tar":  # within the members: the rest is only padding
        size = sum(512 + -(-len(data) // 512) * 512 for data in MEMBERS.values())
    os.truncate(path, int(size * share))
    text = refused(tmp_path / "s", tmp_path / "d", "div2k")
    assert f"DIV2K_train_HR.{kind}: not a whole archive" in text
    assert f"{int(size * share)} bytes" in text
    assert "fetch it again" in text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "d/" * 2000 + "e"]
)
def test_hostile_names(kind, name, tmp_path):
    source = archive_of(tmp_path / "deep/er/s" / f"a.{kind}", {"ok.png": PNG[0], name: PNG[1]})
    text = refused(source.parent, tmp_path / "deep/er/d")
    deep = name.startswith("d/")
    said = "lies more than 100 folders deep" if deep else "would lead out of the folder"
    assert said in text
    assert repr(name[:60])[1:-1] in text
    assert not list(tmp_path.rglob("e*.png"))


@pytest.mark.parametrize("kind", ["zip", "symbolic", "hard", "device"])
def test_links_and_devices(kind, tmp_path):
    types = {"hard": tarfile.LNKTYPE, "device": tarfile.CHRTYPE, "symbolic": tarfile.SYMTYPE}
    (tmp_path / "secret.png").write_bytes(PNG[3])
    link = tarfile.TarInfo("x.png")
    link.type, link.linkname = types.get(kind, b"0"), str(tmp_path / "secret.png")
    path = tmp_path / "s" / ("a.zip" if kind == "zip" else "a.tar")
    archive_of(path, {"0.png": PNG[0]} if kind == "zip" else {"0.png": PNG[0], "x": link})
    if kind == "zip":
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo("x.png")
            info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, link.linkname)
    assert "'x.png' is a link, or not a plain file" in refused(path.parent, tmp_path / "d")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_more_than_the_disk_has_room_for(kind, tmp_path, monkeypatch):
    path = archive_of(tmp_path / f"a.{kind}", {f"{i}.bmp": bytes(6 << 20) for i in range(3)})
    monkeypatch.setattr(source.shutil, "disk_usage", lambda _: SimpleNamespace(free=17 << 20))
    text = refused(path, tmp_path / "d")
    assert "refused, it takes 18 MiB" in text
    assert "has 17 MiB free" in text


def test_what_is_not_extracted(tmp_path):
    path = archive_of(tmp_path / "a" / "a.zip", MEMBERS)
    data = bytearray(path.read_bytes())
    data[data.index(PNG[2]) + 60] ^= 0xFF
    path.write_bytes(data)
    assert "set/2.png" in refused(tmp_path / "a", tmp_path / "d")
    for signature, flags in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        at = data.find(signature)
        while at >= 0:
            data[at + flags] |= 1
            at = data.find(signature, at + 4)
    path.write_bytes(data)
    assert "encrypted" in refused(tmp_path / "a", tmp_path / "d")
    path.unlink()
    (tmp_path / "a" / "a.7z").write_bytes(b"7z")
    assert "extract it first" in refused(tmp_path / "a", tmp_path / "d")
    for at in ("1", "2"):  # of two images of one name none is silently dropped
        archive_of(tmp_path / "b" / f"{at}.zip", {"set/0.png": PNG[int(at)]})
    run(tmp_path / "b", tmp_path / "d")
    assert names_of(tmp_path / "d") == ["1/set/0", "2/set/0"]


def test_an_archive_of_another_name_is_not_looked_into(tmp_path):
    path = archive_of(tmp_path / "s" / "holiday.zip", {"DIV2K_train_HR/0001.png": PNG[1]})
    text = refused(tmp_path / "s", tmp_path / "d", "div2k")
    assert "not looked into because of their names: holiday.zip" in text
    record = run(path, tmp_path / "d", "div2k", allow_partial=True)
    assert record["sets"][0]["packs"][0]["count"] == 1


def test_folders_and_archives_are_one_source(tmp_path):
    folder, other = tmp_path / "s" / "DIV2K_train_HR", tmp_path / "pictures"
    archive_of(folder.with_suffix(".zip"), {f"{folder.name}/000{i}.png": PNG[i] for i in (1, 3)})
    put(folder / "0001.png", picture(2))  # wins over the archive that it came from
    (folder / "loop").symlink_to(tmp_path / "s")  # ends
    put(other / "0002.png", picture(0))
    (tmp_path / "s" / "more").mkdir()
    (tmp_path / "s" / "more" / folder.name).symlink_to(other)
    run(tmp_path / "s", tmp_path / "d", "div2k", allow_partial=True)
    store = open_store(tmp_path / "d/DIV2K_train/HR.lmdb")
    assert list(store.names()) == ["0001", "0002", "0003"]
    np.testing.assert_array_equal(store.read("0001"), picture(2))
