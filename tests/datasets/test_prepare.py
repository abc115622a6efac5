"""From every layout in circulation to sets that a config finds."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from superres.datasets.locate import locate
from superres.datasets.paired import PairedDataset
from superres.datasets.prepare import Options, prepare, recipe_names
from superres.datasets.storage import ImageLmdb, open_store
from superres.errors import UserError
from superres.imaging.io import encode_image, write_image
from tests.datasets.trees import fingerprint_of, lq_of, official, official_zips, paired, picture


def run(recipe: str, root: Path, out: Path, **options):
    options = {"num_workers": 0, "scales": (2,), **options}
    return prepare(recipe, Options(root=root, out=out, **options))


def assert_pairs(out: Path, name: str, scale: int, expected: dict[str, np.ndarray], lq=lq_of):
    """The set has exactly these ground truths, and their low-quality pictures."""
    dataset = PairedDataset(name, data_root=str(out), scale=scale)
    assert list(dataset.gt.names()) == sorted(expected)
    for i in range(len(dataset)):
        low, gt = dataset.load(i)
        whole = expected[dataset.gt.name_at(i)]
        np.testing.assert_array_equal(
            gt, whole[: whole.shape[0] // scale * scale, : whole.shape[1] // scale * scale]
        )
        np.testing.assert_array_equal(low, lq(whole, scale))


@pytest.fixture(scope="module")
def whole_div2k(tmp_path_factory):
    """800 + 100 pictures in the official zips, with LR x2; prepared with x2 and x4."""
    base = tmp_path_factory.mktemp("div2k")
    size = {"height": 12, "width": 13}
    source = official_zips(base / "source", "DIV2K_train", range(1, 801), **size)
    official_zips(source, "DIV2K_valid", range(801, 901), **size)
    before = fingerprint_of(source)
    reports = run("div2k", source, base / "data", scales=(2, 4))
    return base, size, before, reports


def test_the_official_zips_become_complete_verified_sets(whole_div2k):
    base, size, before, reports = whole_div2k
    assert [r.name for r in reports] == ["DIV2K_train", "DIV2K_valid"]
    assert all(r.verification["ok"] and not r.warnings for r in reports)
    train = reports[0].verification["sets"][0]
    assert train["count"] == 800
    assert [s["verdicts"] for s in train["sides"]] == [{"exact": 800}, {"exact": 800}]
    pictures = {f"{i:04}": picture(i, **size) for i in range(801, 901)}
    for scale in (2, 4):  # given, and made here
        assert_pairs(base / "data", "DIV2K_valid", scale, pictures)
    made = [p["made"] for p in reports[0].packs]
    assert made == ["as given", "as given", "exact bicubic, border reflect"]
    assert fingerprint_of(base / "source") == before, "the source is never written"


def test_a_second_run_finds_nothing_to_do(whole_div2k):
    base, _, _, _ = whole_div2k
    before = fingerprint_of(base / "data")
    reports = run("div2k", base / "source", base / "data", scales=(2, 4), verify=False)
    assert [p["added"] for r in reports for p in r.packs] == [0] * 6
    assert fingerprint_of(base / "data") == before


def test_an_incomplete_set_is_made_and_its_missing_pictures_named(tmp_path):
    source = official(tmp_path / "s", "DIV2K_train", [1, 2, 4])
    (report,) = run("div2k", source, tmp_path / "d")
    assert "3 of 800 pictures, missing: 0003, 0005" in report.warnings[0]
    assert not report.verification["ok"]
    (report,) = run("div2k", source, tmp_path / "d", allow_partial=True)
    assert report.verification["ok"]


def test_numbers_decide_what_is_validation(tmp_path):
    """EDSR's own pack has 0801 to 0900 in the training folder; training on them is a leak."""
    source = official(tmp_path / "s" / "DIV2K", "DIV2K_train", [1, 2, 801, 802])
    train, valid = run("div2k", tmp_path / "s", tmp_path / "d", allow_partial=True)
    assert list(open_store(source.parent.parent / "d/DIV2K_train/HR.lmdb").names()) == [
        "0001",
        "0002",
    ]
    assert_pairs(tmp_path / "d", "DIV2K_valid", 2, {f"080{i}": picture(800 + i) for i in (1, 2)})
    assert "lie in DIV2K_train_HR" in valid.notes[-1]
    assert train.name == "DIV2K_train"


def test_a_validation_picture_among_the_training_pictures_is_a_leak(tmp_path):
    source = official(tmp_path / "s", "DIV2K_train", [1, 2])
    official(source, "DIV2K_valid", [801, 802])
    for where in ("HR/0002", "LR_bicubic/X2/0002x2"):
        target = f"DIV2K_train_{where}.png"
        shutil.copy(source / f"DIV2K_valid_{where}.png".replace("0002", "0801"), source / target)
    train, valid = run("div2k", source, tmp_path / "d", allow_partial=True)
    assert valid.verification["ok"]
    (leak,) = (p for p in train.verification["sets"][0]["problems"] if p["severity"] == "error")
    assert leak["fault"] == "leak"
    assert "0801" in leak["message"]


def test_unknown_degradation_and_x8_are_found_by_their_names(tmp_path):
    source = official(tmp_path / "s", "DIV2K_valid", [801, 802], scales=(), height=32, width=40)
    unknown = source / "DIV2K_valid_LR_unknown" / "X2"
    unknown.mkdir(parents=True)
    for i in (801, 802):
        write_image(unknown / f"0{i}x2.png", picture(5000 + i, 16, 20))
    with zipfile.ZipFile(source / "DIV2K_valid_LR_x8.zip", "w") as archive:
        for i in (801, 802):
            data = encode_image(lq_of(picture(i, 32, 40), 8), ".png")
            archive.writestr(f"DIV2K_valid_LR_x8/0{i}x8.png", data)
    (report,) = run("div2k", source, tmp_path / "d", scales=(2, 8), allow_partial=True)
    assert report.verification["ok"]
    found = locate("DIV2K_valid/LR_unknown", tmp_path / "d", 2)
    np.testing.assert_array_equal(open_store(found.lq).read("0801"), picture(5801, 16, 20))
    assert locate("DIV2K_valid", tmp_path / "d", 2).lq.name == "LR_bicubic_X2.lmdb"
    made = {Path(p["path"]).name: p["made"] for p in report.packs}
    assert made["LR_bicubic_X8.lmdb"] == "as given"
    with pytest.raises(UserError, match="no ground truth with LR_unknown for x8"):
        locate("DIV2K_valid/LR_unknown", tmp_path / "d", 8)


def test_flickr2k_and_df2k(tmp_path):
    source = official(tmp_path / "s", "DIV2K_train", [1, 2])
    official(source / "Flickr2K", "Flickr2K", [1, 2650])
    run("flickr2k", source, tmp_path / "d", allow_partial=True)
    flickr = {f"{i:06}": picture(i) for i in (1, 2650)}
    assert_pairs(tmp_path / "d", "Flickr2K", 2, flickr)
    (report,) = run("df2k", source, tmp_path / "d", allow_partial=True, scales=(2, 3))
    both = flickr | {f"000{i}": picture(i) for i in (1, 2)}
    for scale in (2, 3):
        assert_pairs(tmp_path / "d", "DF2K", scale, both)
    # 0001 and 000001 were drawn from one seed: a duplicate, which is found.
    faults = [p for p in report.verification["sets"][0]["problems"] if p["severity"] == "error"]
    assert [p["fault"] for p in faults] == ["duplicate"]


def test_291_from_two_folders(tmp_path):
    for folder, names in (("T91", ("t1.bmp", "t2.bmp")), ("BSDS200", ("100075.jpg",))):
        (tmp_path / "s" / folder).mkdir(parents=True)
        for i, name in enumerate(names):
            write_image(tmp_path / "s" / folder / name, picture(i + len(folder)))
    (tmp_path / "s" / "else").mkdir()
    write_image(tmp_path / "s" / "else" / "no.png", picture(9))
    (report,) = run("291", tmp_path / "s", tmp_path / "d", scales=(3,))
    assert list(open_store(tmp_path / "d/291/HR.lmdb").names()) == ["100075", "t1", "t2"]
    assert "3 pictures, the complete set has 291" in report.warnings[0]


def edsr_layout(root: Path, pictures: dict[str, np.ndarray], scales) -> None:
    folder = root / "benchmark" / "Set5"
    (folder / "HR").mkdir(parents=True)
    for name, gt in pictures.items():
        write_image(folder / "HR" / f"{name}.png", gt)
        for scale in scales:
            (folder / "LR_bicubic" / f"X{scale}").mkdir(parents=True, exist_ok=True)
            path = folder / "LR_bicubic" / f"X{scale}" / f"{name}x{scale}.png"
            write_image(path, lq_of(gt, scale))


def edsr_tar(root: Path, pictures, scales) -> None:
    edsr_layout(root / "made", pictures, scales)
    with tarfile.open(root / "benchmark.tar", "w") as archive:
        archive.add(root / "made" / "benchmark", "benchmark")
    shutil.rmtree(root / "made")


def basicsr_layout(root: Path, pictures, scales) -> None:
    for folder in ("GTmod12", "original", *(f"LRbicx{s}" for s in scales)):
        (root / "Set5" / folder).mkdir(parents=True)
    for name, gt in pictures.items():
        write_image(root / "Set5" / "original" / f"{name}.png", picture(99, 30, 30))
        write_image(root / "Set5" / "GTmod12" / f"{name}.png", gt)
        for scale in scales:
            write_image(root / "Set5" / f"LRbicx{scale}" / f"{name}.png", lq_of(gt, scale))


def selfexsr_layout(root: Path, pictures, scales) -> None:
    for scale in scales:
        folder = root / "Set5_SR" / "Set5" / f"image_SRF_{scale}"
        folder.mkdir(parents=True)
        for name, gt in pictures.items():
            cropped = gt[: gt.shape[0] // scale * scale, : gt.shape[1] // scale * scale]
            write_image(folder / f"{name}_SRF_{scale}_HR.png", cropped)
            write_image(folder / f"{name}_SRF_{scale}_LR.png", lq_of(gt, scale))
            write_image(folder / f"{name}_SRF_{scale}_SRCNN.png", cropped[::-1])


@pytest.mark.parametrize("layout", [edsr_layout, edsr_tar, basicsr_layout, selfexsr_layout])
def test_benchmark_layouts(layout, tmp_path):
    pictures = {f"img_00{i}": picture(i, 24, 36) for i in range(5)}
    (tmp_path / "s").mkdir()
    layout(tmp_path / "s", pictures, (2, 4))
    # results of a method, and another degradation, are no ground truths
    (tmp_path / "s" / "LR_blur_down" / "Set5").mkdir(parents=True)
    write_image(tmp_path / "s" / "LR_blur_down" / "Set5" / "img_000.png", picture(1))
    (report,) = run("benchmark", tmp_path / "s", tmp_path / "d", scales=(2, 3, 4))
    assert report.verification["ok"]
    for scale in (2, 3, 4):
        assert_pairs(tmp_path / "d", "Set5", scale, pictures)
    made = {Path(p["path"]).name: p["made"][:5] for p in report.packs}
    assert made == {
        "HR.lmdb": "as gi",
        "LR_bicubic_X2.lmdb": "as gi",
        "LR_bicubic_X3.lmdb": "exact",
        "LR_bicubic_X4.lmdb": "as gi",
    }


def test_selfexsr_with_odd_sizes_keeps_a_ground_truth_per_scale(tmp_path):
    """481x321: 480x320 at x2, 480x321 at x3; neither is a crop of the other's whole."""
    pictures = {f"img_00{i}": picture(i, 21, 28) for i in range(5)}
    (tmp_path / "s").mkdir()
    selfexsr_layout(tmp_path / "s", pictures, (2, 3))
    (report,) = run("benchmark", tmp_path / "s", tmp_path / "d", scales=(2, 3))
    assert report.verification["ok"]
    for scale in (2, 3):
        assert_pairs(tmp_path / "d", "Set5", scale, pictures)
    assert {Path(p["path"]).name for p in report.packs} >= {"HR.lmdb", "HR_X2.lmdb"}


def test_a_grey_picture_is_packed_as_rgb_and_told(tmp_path):
    root = paired(tmp_path / "s" / "Set5", 5)
    grey = picture(50, 24, 28, 1)
    write_image(root / "HR" / "p0.png", grey)
    for scale in (2, 3):
        path = root / "LR_bicubic" / f"X{scale}" / f"p0x{scale}.png"
        write_image(path, lq_of(grey, scale))
    (report,) = run("benchmark", tmp_path / "s", tmp_path / "d", scales=(2, 3))
    assert report.verification["ok"]
    assert any("1 of 5 grey" in note and "p0" in note for note in report.notes)
    stored = open_store(tmp_path / "d/Set5/HR.lmdb").read("p0")
    np.testing.assert_array_equal(stored, np.repeat(grey, 3, 2))


def test_odd_sizes_are_cropped_at_the_bottom_and_right(tmp_path):
    (tmp_path / "s").mkdir()
    write_image(tmp_path / "s" / "a.png", picture(1, 25, 31))
    run("folder", tmp_path / "s", tmp_path / "d", scales=(2, 3, 4), name="odd")
    for scale in (2, 3, 4):
        assert_pairs(tmp_path / "d", "odd", scale, {"a": picture(1, 25, 31)})
    assert open_store(tmp_path / "d/odd/HR.lmdb").shape("a") == (25, 31, 3)


def test_any_folder_names_kinds_and_subfolders(tmp_path):
    from PIL import Image

    source = tmp_path / "Ferien Übersee 写真"
    (source / "süd").mkdir(parents=True)
    pictures = {"süd/" + "n" * 200: picture(1), "grün 1": picture(2), "zz": picture(3, 40, 20)}
    for name, gt in pictures.items():
        write_image(source / f"{name}.png", gt)
    deep = np.arange(24 * 24 * 3, dtype=np.uint16).reshape(24, 24, 3) * 37
    write_image(source / "tief.png", deep)
    pictures["tief"] = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    turned = Image.fromarray(picture(4, 24, 32))
    exif = Image.Exif()
    exif[274] = 6
    turned.save(source / "turned.png", exif=exif, icc_profile=b"\0" * 128)
    pictures["turned"] = picture(4, 24, 32)
    (report,) = run("folder", source, tmp_path / "d")
    assert report.name == "Ferien Übersee 写真"
    assert_pairs(tmp_path / "d", report.name, 2, pictures)
    notes = " ".join(report.notes)
    assert "1 of 5 with 16 bits" in notes
    assert "1 of 5 with an EXIF rotation" in notes
    assert "1 of 5 with a colour profile" in notes


def test_16_bits_can_be_kept(tmp_path):
    (tmp_path / "s").mkdir()
    deep = np.arange(24 * 24 * 3, dtype=np.uint16).reshape(24, 24, 3) * 37
    write_image(tmp_path / "s" / "a.png", deep)
    run("folder", tmp_path / "s", tmp_path / "d", dtype="keep", verify=False)
    np.testing.assert_array_equal(open_store(tmp_path / "d/s/HR.lmdb").read("a"), deep)
    low = open_store(tmp_path / "d/s/LR_bicubic_X2.lmdb").read("a")
    np.testing.assert_array_equal(low, lq_of(deep, 2))


def test_a_folder_with_pairs_inside(tmp_path):
    paired(tmp_path / "s", 3, scales=(2,))
    (tmp_path / "s" / "notes").mkdir()
    write_image(tmp_path / "s" / "notes" / "scan.png", picture(8))
    (report,) = run("folder", tmp_path / "s", tmp_path / "d", name="mine")
    assert_pairs(tmp_path / "d", "mine", 2, {f"p{i}": picture(i) for i in range(3)})
    assert report.packs[1]["made"] == "as given"
    assert any("notes: images that are not used" in note for note in report.notes)


def test_a_broken_picture_is_left_out_of_a_folder_and_fails_a_pair_set(tmp_path):
    source = tmp_path / "s"
    source.mkdir()
    for i in range(3):
        write_image(source / f"{i}.png", picture(i))
    whole = (source / "1.png").read_bytes()
    (source / "1.png").write_bytes(whole[: len(whole) // 2])
    (report,) = run("folder", source, tmp_path / "d")
    assert [name for name, _ in report.failed] == ["1"]
    assert "truncated" in report.failed[0][1]
    assert_pairs(tmp_path / "d", "s", 2, {"0": picture(0), "2": picture(2)})

    root = paired(tmp_path / "pairs", 3, scales=(2,))
    (root / "LR_bicubic" / "X2" / "p1x2.png").write_bytes(whole[:40])
    with pytest.raises(UserError, match=r"LR_bicubic_X2\.lmdb: not made, 1 of 3"):
        run("folder", root, tmp_path / "d")


@pytest.mark.parametrize("form", ["lmdb", "folder"])
def test_both_formats_are_found_by_a_config(form, tmp_path):
    source = paired(tmp_path / "s", 3, scales=(2,))
    (report,) = run("folder", source, tmp_path / "d", format=form, scales=(2, 3), name="set")
    assert report.verification["ok"]
    for scale in (2, 3):
        assert_pairs(tmp_path / "d", "set", scale, {f"p{i}": picture(i) for i in range(3)})
    (again,) = run("folder", source, tmp_path / "d", format=form, scales=(2, 3), name="set")
    assert [p["added"] for p in again.packs] == [0, 0, 0]
    write_image(source / "HR" / "p1.png", picture(70))
    write_image(source / "LR_bicubic" / "X2" / "p1x2.png", lq_of(picture(70), 2))
    with pytest.raises(UserError, match="already there"):
        run("folder", source, tmp_path / "d", format=form, scales=(2, 3), name="set")
    run("folder", source, tmp_path / "d", format=form, scales=(2, 3), name="set", overwrite=True)
    changed = {f"p{i}": picture(70 if i == 1 else i) for i in range(3)}
    for scale in (2, 3):
        assert_pairs(tmp_path / "d", "set", scale, changed)


def test_what_a_person_can_do_wrong(tmp_path):
    source = official(tmp_path / "s", "DIV2K_train", [1, 2])
    lq = source / "DIV2K_train_LR_bicubic" / "X2"

    def message(recipe="div2k", root=source, out=tmp_path / "d", **options):
        with pytest.raises(UserError) as caught:
            run(recipe, root, out, **options)
        return str(caught.value)

    assert "no such folder or archive" in message(root=tmp_path / "none")
    assert "never written" in message(out=source / "out")
    assert "never written" in message(out=source)
    (tmp_path / "file").write_text("")
    assert "a file, not a folder" in message(out=tmp_path / "file")
    assert "cannot be written" in message(out=tmp_path / "file" / "below")
    assert "from 2 on" in message(scales=(1,))
    assert "no Flickr2K pictures" in message("flickr2k")
    assert "none of Set5" in message("benchmark")
    assert not (tmp_path / "d").exists()

    write_image(lq / "0002x2.png", lq_of(picture(2), 4))
    text = message()
    assert "0002x2.png is 7x6, and" in text
    assert "0002.png is 28x24: not x2; it looks like x4" in text
    (lq / "0002x2.png").unlink()
    assert "1 of 2 pictures have no low-quality picture: 0002" in message()
    write_image(lq / "0002x3.png", lq_of(picture(2), 3))
    assert "disagree on the scale: x2 and x3" in message()
    (lq / "0002x3.png").unlink()
    write_image(lq / "0002x2.png", lq_of(picture(2), 2))
    write_image(lq / "0002x2.bmp", lq_of(picture(2), 2))
    text = message()
    assert "0002x2.bmp" in text
    assert "0002x2.png have the same name" in text
    (lq / "0002x2.bmp").unlink()
    write_image(source / "DIV2K_train_HR" / "0002.png", picture(2, 3, 3))
    assert "3x3 pixels, too small for scale 4" in message(scales=(2, 4))
    assert not list((tmp_path / "d").rglob("*.mdb")), "all of this is found before packing"


def test_every_recipe_tells_what_it_is():
    import importlib

    assert recipe_names() == ["291", "benchmark", "df2k", "div2k", "flickr2k", "folder", "hf"]
    for name in recipe_names():
        module = importlib.import_module(f"superres.datasets.prepare.recipes.{name}")
        assert len(module.__doc__.splitlines()[0]) > 20
        assert callable(module.plan)


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_hf_tables(kind, tmp_path):
    pa = pytest.importorskip("pyarrow", reason="reading Hugging Face tables needs pyarrow")
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, numbers in (("train", (0, 1, 2)), ("validation", (3,))):
        for scale in (2, 3):
            cells = {"lr": [], "hr": []}
            for i in numbers:
                for side, pixels in (("hr", picture(i)), ("lr", lq_of(picture(i), scale))):
                    suffix = f"x{scale}" * (side == "lr")
                    data = encode_image(pixels, ".png")
                    cells[side].append({"bytes": data, "path": f"p{i}{suffix}.png"})
            table = pa.table({side: pa.array(c, image) for side, c in cells.items()})
            folder = tmp_path / "Toy" / f"bicubic_x{scale}" / split
            folder.mkdir(parents=True)
            if kind == "parquet":
                pq.write_table(table, folder / "0000.parquet", row_group_size=2)
            else:
                file = folder / "data-00000-of-00001.arrow"
                sink = pa.OSFile(str(file), "wb")
                with sink, pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table, 2)
    reports = run("hf", tmp_path / "Toy", tmp_path / "d", scales=(2, 3, 4))
    assert [r.name for r in reports] == ["Toy_train", "Toy_valid"]
    assert all(r.verification["ok"] for r in reports)
    for scale in (2, 3, 4):
        assert_pairs(tmp_path / "d", "Toy_train", scale, {f"p{i}": picture(i) for i in range(3)})


def test_hf_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    import sys

    (tmp_path / "s").mkdir()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="pip install pyarrow"):
        run("hf", tmp_path / "s", tmp_path / "d")


@pytest.mark.reference
def test_the_reference_sets(reference_dir, tmp_path):
    reports = run("benchmark", reference_dir / "data", tmp_path, scales=(2, 3, 4))
    assert [r.name for r in reports] == ["Set5", "Set14"]
    for report, convention in zip(reports, ("matlab", "matlab-old")):
        assert report.verification["ok"]
        for side in report.verification["sets"][0]["sides"]:
            assert side["conventions"] == {convention: side["count"]}
    (report,) = run("291", reference_dir / "data", tmp_path, scales=(2,))
    assert report.verification["ok"]
    assert not report.warnings
    duplicate = [p for p in report.verification["sets"][0]["problems"] if p["fault"] == "duplicate"]
    assert [p["severity"] for p in duplicate] == ["note"], "T91 holds one picture twice"
    assert isinstance(open_store(tmp_path / "291" / "HR.lmdb"), ImageLmdb)
