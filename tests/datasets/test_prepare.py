"""From every layout in circulation to sets that a config finds."""

from __future__ import annotations

import shutil
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from superres.datasets.locate import locate
from superres.datasets.paired import PairedDataset
from superres.datasets.prepare import Options, prepare
from superres.datasets.storage import open_store
from superres.datasets.verify import verify
from superres.errors import UserError
from superres.imaging.io import encode_image
from tests.datasets.trees import (
    fingerprint_of,
    lq_of,
    official,
    official_zips,
    paired,
    picture,
    put,
)


def run(recipe: str, root: Path, out: Path, **options):
    options = {"num_workers": 0, "scales": (2,), "allow_partial": True, **options}
    return prepare(recipe, Options(root=root, out=out, **options))


def refused(recipe: str, root: Path, out: Path, **options) -> str:
    with pytest.raises(UserError) as caught:
        run(recipe, root, out, **options)
    return str(caught.value)


def made_of(record, at: int = 0) -> dict[str, str]:
    """Database -> where its images come from."""
    return {Path(p["target"]).stem: p["made"].split(",")[0] for p in record["sets"][at]["packs"]}


def errors(record, at: int = 0) -> list[dict]:
    problems = record["verification"]["sets"][at]["problems"]
    return [problem for problem in problems if problem["severity"] == "error"]


def assert_pairs(out: Path, name: str, scale: int, expected: dict[str, np.ndarray]):
    """The set has exactly these ground truths, and their low-quality images."""
    dataset = PairedDataset(name, data_root=str(out), scale=scale)
    assert list(dataset.gt.names()) == sorted(expected)
    for i in range(len(dataset)):
        low, gt = dataset.load(i)
        whole = expected[dataset.gt.name_at(i)]
        height, width = (side // scale * scale for side in whole.shape[:2])
        np.testing.assert_array_equal(gt, whole[:height, :width])
        np.testing.assert_array_equal(low, lq_of(whole, scale))


def test_the_official_zips_become_complete_verified_sets(tmp_path):
    size = {"height": 12, "width": 13}
    source = official_zips(tmp_path / "source", "DIV2K_valid", range(801, 901), **size)
    before = fingerprint_of(source)
    options = {"scales": (2, 4), "allow_partial": False}
    record = run("div2k", source, tmp_path / "data", **options)
    assert record["ok"]
    (valid,) = record["verification"]["sets"]
    assert (valid["name"], valid["count"]) == ("DIV2K_valid", 100)
    assert [s["verdicts"] for s in valid["sides"]] == [{"exact": 100}, {"exact": 100}]
    for scale in (2, 4):  # given, and made here
        numbers = {f"{i:04}": picture(i, **size) for i in range(801, 901)}
        assert_pairs(tmp_path / "data", "DIV2K_valid", scale, numbers)
    assert made_of(record)["LR_bicubic_X4"] == "exact bicubic"
    assert fingerprint_of(source) == before, "the source is never written"
    before = fingerprint_of(tmp_path / "data")
    record = run("div2k", source, tmp_path / "data", verify=False, **options)
    assert [p["added"] for p in record["sets"][0]["packs"]] == [0] * 3
    assert fingerprint_of(tmp_path / "data") == before, "a second run finds nothing to do"


def test_an_incomplete_set_is_made_and_its_missing_pictures_named(tmp_path):
    source, said = official(tmp_path / "s", "DIV2K_train", [1, 2, 4]), []
    options = Options(root=source, out=tmp_path / "d", scales=(2,), num_workers=0)
    record = prepare("div2k", options, say=said.append)
    text = "3 images, and DIV2K_train has 800; missing: 0003, 0005"
    assert any(text in line for line in said)
    assert text in errors(record)[0]["message"]
    assert not record["ok"]
    assert run("div2k", source, tmp_path / "d")["ok"]


def test_numbers_decide_what_is_validation(tmp_path):
    """EDSR's own pack has 0801 to 0900 in the training folder; training on them is a leak."""
    official(tmp_path / "s" / "DIV2K", "DIV2K_train", [1, 2, 801, 802])
    train, valid = run("div2k", tmp_path / "s", tmp_path / "d")["sets"]
    assert list(open_store(tmp_path / "d/DIV2K_train/HR.lmdb").names()) == ["0001", "0002"]
    assert_pairs(tmp_path / "d", "DIV2K_valid", 2, {f"080{i}": picture(800 + i) for i in (1, 2)})
    assert any("lie in DIV2K_train_HR" in note for note in valid["notes"])
    assert (train["name"], valid["name"]) == ("DIV2K_train", "DIV2K_valid")


def test_unknown_degradation_and_x8_are_found_by_their_names(tmp_path):
    source = official(tmp_path / "s", "DIV2K_valid", [801, 802], scales=(), height=32, width=40)
    unknown = {i: lq_of(picture(i, 32, 40), 2) // 2 for i in (801, 802)}
    for i in unknown:
        # each in a folder of its own, as programs unpack
        put(source / "unknown/DIV2K_valid_LR_unknown/X2" / f"0{i}x2.png", unknown[i])
        put(source / "z" / "DIV2K_valid_LR_x8" / f"0{i}x8.png", lq_of(picture(i, 32, 40), 8))
    shutil.make_archive(str(source / "DIV2K_valid_LR_x8"), "zip", source / "z")
    shutil.rmtree(source / "z")
    record = run("div2k", source, tmp_path / "d", scales=(2, 8))
    assert record["ok"]
    found = locate("DIV2K_valid/LR_unknown", tmp_path / "d", 2)
    np.testing.assert_array_equal(open_store(found.lq).read("0801"), unknown[801])
    assert locate("DIV2K_valid", tmp_path / "d", 2).lq.name == "LR_bicubic_X2.lmdb"
    assert made_of(record)["LR_bicubic_X8"] == "as given"
    with pytest.raises(UserError, match="no ground truth with LR_unknown for x8"):
        locate("DIV2K_valid/LR_unknown", tmp_path / "d", 8)


def test_flickr2k_and_df2k(tmp_path):
    source = official(tmp_path / "s", "DIV2K_train", [1, 2])
    official(source / "Flickr2K", "Flickr2K", [1, 2650])
    run("flickr2k", source, tmp_path / "d")
    flickr = {f"{i:06}": picture(i) for i in (1, 2650)}
    assert_pairs(tmp_path / "d", "Flickr2K", 2, flickr)
    record = run("df2k", source, tmp_path / "d", scales=(2, 3))
    both = flickr | {f"000{i}": picture(i) for i in (1, 2)}
    for scale in (2, 3):
        assert_pairs(tmp_path / "d", "DF2K", scale, both)
    # 0001 and 000001 were drawn from one seed: a duplicate, which is found.
    assert [problem["fault"] for problem in errors(record)] == ["duplicate"]


def test_291_from_two_folders(tmp_path):
    for i, name in enumerate(("T91/t1.bmp", "T91/t2.bmp", "BSDS200/100075.jpg", "else/no.png")):
        put(tmp_path / "s" / name, picture(i))
    record = run("291", tmp_path / "s", tmp_path / "d", scales=(3,))
    assert record["ok"]
    assert list(open_store(tmp_path / "d/291/HR.lmdb").names()) == ["100075", "t1", "t2"]


def edsr_layout(root: Path, pictures: dict[str, np.ndarray], scales) -> None:
    for name, gt in pictures.items():
        put(root / "benchmark/Set5/HR" / f"{name}.png", gt)
        for scale in scales:
            folder = root / "benchmark/Set5/LR_bicubic" / f"X{scale}"
            put(folder / f"{name}x{scale}.png", lq_of(gt, scale))


def edsr_tar(root: Path, pictures, scales) -> None:
    edsr_layout(root, pictures, scales)
    with tarfile.open(root / "benchmark.tar", "w") as archive:
        archive.add(root / "benchmark", "benchmark")
    shutil.rmtree(root / "benchmark")


def basicsr_layout(root: Path, pictures, scales) -> None:
    for name, gt in pictures.items():
        put(root / "Set5" / "original" / f"{name}.png", picture(99, 30, 30))
        put(root / "Set5" / "GTmod12" / f"{name}.png", gt)
        for scale in scales:
            put(root / "Set5" / f"LRbicx{scale}" / f"{name}.png", lq_of(gt, scale))


def selfexsr_layout(root: Path, pictures, scales) -> None:
    for scale in scales:
        folder = root / "Set5_SR" / "Set5" / f"image_SRF_{scale}"
        for name, gt in pictures.items():
            cropped = gt[: gt.shape[0] // scale * scale, : gt.shape[1] // scale * scale]
            put(folder / f"{name}_SRF_{scale}_HR.png", cropped)
            put(folder / f"{name}_SRF_{scale}_LR.png", lq_of(gt, scale))
            put(folder / f"{name}_SRF_{scale}_SRCNN.png", cropped[::-1])


# 21x28 is 20x28 at x2 and 21x27 at x3; neither is a crop of the other
@pytest.mark.parametrize("size", [(24, 36), (21, 28)])
@pytest.mark.parametrize("layout", [edsr_layout, edsr_tar, basicsr_layout, selfexsr_layout])
def test_benchmark_layouts(layout, size, tmp_path):
    pictures = {f"img_00{i}": picture(i, *size) for i in range(5)}
    layout(tmp_path / "s", pictures, (2, 3))
    # results of a method, and another degradation, are no ground truths
    put(tmp_path / "s" / "LR_blur_down" / "Set5" / "img_000.png", picture(1))
    record = run("benchmark", tmp_path / "s", tmp_path / "d", scales=(2, 3, 4), allow_partial=False)
    assert record["ok"]
    for scale in (2, 3, 4) if size[0] % 4 == 0 else (2, 3):
        assert_pairs(tmp_path / "d", "Set5", scale, pictures)
    made = made_of(record)
    assert ("HR_X3" in made) == (layout is selfexsr_layout)
    assert (made["LR_bicubic_X3"], made["LR_bicubic_X4"]) == ("as given", "exact bicubic")


def test_what_is_changed_in_pictures_is_told(tmp_path):
    source = tmp_path / "Ferien Übersee 写真"
    pictures = {"süd/" + "n" * 200: picture(1), "grün 1": picture(2), "odd": picture(3, 25, 31)}
    deep = np.arange(24 * 24 * 3, dtype=np.uint16).reshape(24, 24, 3) * 37
    for name, gt in (pictures | {"tief": deep}).items():
        put(source / f"{name}.png", gt)
    grey = pictures["grey"] = picture(5)[..., :1].repeat(3, axis=2)
    put(source / "grey.png", grey[..., :1])
    pictures["clear"] = picture(6)
    put(source / "clear.png", np.dstack([picture(6), picture(6)[..., :1]]))
    pictures["tief"] = ((deep.astype(np.uint32) + 128) // 257).astype(np.uint8)
    pictures["turned"], exif = picture(4, 24, 32), Image.Exif()
    exif[274] = 6
    Image.fromarray(pictures["turned"]).save(source / "turned.png", exif=exif)
    record = run("folder", source, tmp_path / "d", scales=(2, 3, 4))
    for scale in (2, 3, 4):
        assert_pairs(tmp_path / "d", source.name, scale, pictures)
    notes = " ".join(record["sets"][0]["notes"])
    for text in (
        "1 of 7 with 16 bits per sample, stored with 8 unless --depth keep: tief",
        "1 of 7 with an EXIF rotation, stored as the pixels lie: turned",
        "1 of 7 grey, stored as RGB: grey",
        "1 of 7 with transparency, stored without it: clear",
    ):
        assert text in notes


def test_a_folder_with_pairs_inside(tmp_path):
    source = paired(tmp_path / "s", 3, scales=(2,))
    put(source / "notes" / "scan.png", picture(8))
    pictures = {f"p{i}": picture(i) for i in range(3)}
    record = run("folder", source, tmp_path / "d", name="mine")
    assert_pairs(tmp_path / "d", "mine", 2, pictures)
    assert made_of(record)["LR_bicubic_X2"] == "as given"
    assert any("notes holds images that are not used" in n for n in record["sets"][0]["notes"])
    put(source / "HR" / "p1.png", picture(70))
    assert "already there" in refused("folder", source, tmp_path / "d", name="mine")
    low = source / "LR_bicubic" / "X2" / "p1x2.png"
    low.write_bytes(low.read_bytes()[:60])
    assert "LR_bicubic_X2.lmdb: not made, 1 of 3" in refused("folder", source, tmp_path / "e")


def test_a_side_that_cannot_be_read_or_chosen_is_not_replaced_by_bicubic(tmp_path):
    def every_command_says(told: str, folder: Path, training: bool = True) -> None:
        assert told in refused("folder", folder, tmp_path / "d")
        if training:
            with pytest.raises(UserError, match=told):
                locate(str(folder), tmp_path, 2)
        try:
            found = [p["message"] for p in errors({"verification": verify(folder)})]
        except UserError as error:
            found = [str(error)]
        assert any(told in text for text in found)

    def pair(folder: Path, low: str = "LR", scale: int = 2, name: str = "p0") -> Path:
        put(folder / "HR" / f"{name}.png", picture(0))
        return put(folder / low / f"{name}.png", lq_of(picture(0), scale))

    pair(tmp_path / "cut").write_bytes(b"\x89PNG")
    every_command_says("no pair can be read", tmp_path / "cut", training=False)
    pair(tmp_path / "other").rename(tmp_path / "other" / "LR" / "u.png")
    every_command_says("called as one of", tmp_path / "other", training=False)
    for i, (other, reduced) in enumerate((("LQ", 2), ("LR_old", 4), ("LR_old", 2))):
        pair(tmp_path / f"two{i}"), pair(tmp_path / f"two{i}", other, reduced)
        every_command_says("could all be the low-quality side", tmp_path / f"two{i}")
    for side, scale in (("HR", 1), ("LR2", 2)):  # RealSR's names
        put(tmp_path / "one" / f"p0_{side}.png", lq_of(picture(0), scale))
    every_command_says("both sides lie in this folder", tmp_path / "one")
    (tmp_path / "gone").symlink_to("/gone")
    every_command_says("gone: a link that leads nowhere", tmp_path / "gone")
    pair(tmp_path / "first").write_bytes(b"")  # does not hide the rest
    pair(tmp_path / "first", name="p1")
    found = errors({"verification": verify(tmp_path / "first")})
    assert "decode" in [p["fault"] for p in found]


def test_what_a_person_can_do_wrong(tmp_path):
    source, out = official(tmp_path / "s", "DIV2K_train", [1, 2]), tmp_path / "d"
    lq, file = source / "DIV2K_train_LR_bicubic" / "X2" / "0002x2.png", tmp_path / "file"
    file.write_text("")

    def message(recipe="div2k", root=source, out=out, **options):
        return refused(recipe, root, out, allow_partial=False, **options)

    assert "neither a folder nor a zip" in message(root=file)
    assert "never written" in message(out=source / "out")
    assert "cannot be written" in message(out=file)
    assert "takes is here or below it: Flickr2K: its tar" in message("flickr2k")
    assert not out.exists()

    put(lq, lq_of(picture(2), 4))
    text = message()
    assert "0002x2.png, of " in text
    assert "it is 7x6, and its ground truth is 28x24: not x2 (it looks like x4)" in text
    lq.unlink()
    put(lq.with_name("0002x3.png"), lq_of(picture(2), 3))
    assert "1 of 2 images have no low-quality image: 0002" in message()
    put(lq, lq_of(picture(2), 2))
    put(lq.with_suffix(".bmp"), lq_of(picture(2), 2))
    assert "0002x2.png have the same name '0002x2'" in message()
    lq.with_suffix(".bmp").unlink()
    put(source / "DIV2K_train_HR" / "0002.png", picture(2, 3, 3))
    assert "3x3 pixels, too small for scale 4" in message(scales=(2, 4))
    assert not list(out.rglob("*.mdb")), "all of this is found before packing"


def test_hf_tables(tmp_path, monkeypatch):
    pa = pytest.importorskip("pyarrow", reason="reading Hugging Face tables needs pyarrow")
    import pyarrow.parquet as pq

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    for split, numbers in (("train", (0, 1, 2)), ("validation", (3,))):
        for scale in (2, 3):
            cells = {"lr": [], "hr": []}
            for i in numbers:
                for side, pixels in (("hr", picture(i)), ("lr", lq_of(picture(i), scale))):
                    name = f"p{i}{f'x{scale}' * (side == 'lr')}.png"
                    cells[side].append({"bytes": encode_image(pixels, ".png"), "path": name})
            table = pa.table({side: pa.array(c, image) for side, c in cells.items()})
            folder = tmp_path / "Toy" / f"bicubic_x{scale}" / split
            folder.mkdir(parents=True)
            pq.write_table(table, folder / "0000.parquet", row_group_size=2)
    record = run("hf", tmp_path / "Toy", tmp_path / "d", scales=(2, 3, 4))
    assert [one["name"] for one in record["sets"]] == ["Toy_train", "Toy_valid"]
    assert record["ok"]
    for scale in (2, 3, 4):
        assert_pairs(tmp_path / "d", "Toy_train", scale, {f"p{i}": picture(i) for i in range(3)})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install pyarrow" in refused("hf", tmp_path / "Toy", tmp_path / "d")


@pytest.mark.reference
def test_the_reference_sets(reference_dir, tmp_path):
    record = run("benchmark", reference_dir / "data", tmp_path, scales=(2, 3, 4))
    assert [one["name"] for one in record["sets"]] == ["Set5", "Set14"]
    assert record["ok"]
    for one, convention in zip(record["verification"]["sets"], ("matlab", "matlab-old")):
        for side in one["sides"]:
            assert side["conventions"] == {convention: side["count"]}
    record = run("291", reference_dir / "data", tmp_path, allow_partial=False)
    assert record["ok"]
    (problem,) = record["verification"]["sets"][0]["problems"]
    assert (problem["fault"], problem["severity"]) == ("duplicate", "note"), "T91 holds one twice"
