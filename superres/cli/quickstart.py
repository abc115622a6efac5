"""From nothing to a trained and tested network on real photographs, in a few minutes.

The photographs ship inside scikit-image, scikit-learn and matplotlib; nothing is downloaded.
What exists already is reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

CONFIG = "edsr_x2c32b6_quickstart"

# (package, path inside it, set). JPEG photographs are halved first, which removes the blocks that
# compression left. The held-out ones are never trained on.
PHOTOGRAPHS = (
    ("skimage", "data/astronaut.png", "train"),
    ("skimage", "data/motorcycle_left.png", "train"),
    ("skimage", "data/rocket.jpg", "train"),
    ("skimage", "data/hubble_deep_field.jpg", "train"),
    ("sklearn", "datasets/images/flower.jpg", "train"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg", "valid"),
    ("skimage", "data/coffee.png", "holdout"),
    ("skimage", "data/chelsea.png", "holdout"),
    ("sklearn", "datasets/images/china.jpg", "holdout"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--data-root", default="data/quickstart", metavar="DIR")
    parser.add_argument("--work-dir", default=f"work_dirs/{CONFIG}", metavar="DIR")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE"
    )


def run(args: argparse.Namespace) -> int:
    """Prepare, train, test, compare."""
    from superres.engine import entry as engine

    data, work_dir = Path(args.data_root), Path(args.work_dir)
    options = [f"data_root={data}", *args.cfg_options]
    _say("1/4", f"photographs, packed to {data}")
    prepare(data)
    _say("2/4", f"training {CONFIG} (Ctrl-C saves; run again to go on)")
    code = engine.train(CONFIG, work_dir=str(work_dir), resume="auto", options=options)
    if code:
        return code
    _say("3/4", "testing on photographs it never saw")
    code = engine.test(
        CONFIG,
        str(work_dir / "best.pth"),
        out=str(work_dir / "test"),
        save_images=True,
        sets=["holdout"],
        protocols=["edsr-y"],
        options=options,
    )
    if code:
        return code
    _say("4/4", f"comparison: {compare(data, work_dir)}")
    return 0


def _say(step: str, text: str) -> None:
    print(f"[{step}] {text}", flush=True)


def prepare(root: Path) -> None:
    """Pack the photographs and their exact bicubic reductions, a set each."""
    from superres.datasets.pack import pack_images
    from superres.imaging.io import read_image
    from superres.imaging.photographs import photograph
    from superres.imaging.resize import imresize, modcrop

    for name in ("train", "valid", "holdout"):
        target = root / name
        if (target / "HR.lmdb").is_dir() and (target / "LR_bicubic_X2.lmdb").is_dir():
            print(f"  {target}: exists")
            continue
        pictures = {}
        for package, inside, where in PHOTOGRAPHS:
            if where != name:
                continue
            path = photograph(package, inside)
            picture = modcrop(read_image(path), 4)
            if path.suffix == ".jpg":
                picture = imresize(picture, scale=0.5)
            pictures[path.stem] = picture
        target.mkdir(parents=True, exist_ok=True)
        hr = [(stem, lambda p=p: p) for stem, p in pictures.items()]
        lr = [(stem, lambda p=p: imresize(p, scale=0.5)) for stem, p in pictures.items()]
        pack_images(hr, target / "HR.lmdb", num_workers=0, overwrite=True)
        pack_images(lr, target / "LR_bicubic_X2.lmdb", num_workers=0, overwrite=True)
        print(f"  {target}: {', '.join(pictures)}")


def compare(root: Path, work_dir: Path) -> Path:
    """Write the comparison picture of the held-out photographs, one below the other."""
    import numpy as np

    from superres.datasets.storage import open_store
    from superres.imaging.comparison import comparison
    from superres.imaging.io import read_image, write_image

    hr = open_store(root / "holdout" / "HR.lmdb")
    lr = open_store(root / "holdout" / "LR_bicubic_X2.lmdb")
    rows = []
    for name in hr.names():
        sr = read_image(work_dir / "test" / "images" / "holdout" / "x2" / f"{name}.png")
        rows.append(comparison(np.asarray(lr.read(name)), sr, np.asarray(hr.read(name))))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(r, ((0, 8), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    path = work_dir / "comparison.png"
    write_image(path, np.vstack(rows))
    return path
