"""From nothing to a trained and tested network on real photographs, in a few minutes.

The photographs ship inside scikit-image, scikit-learn and matplotlib; nothing is downloaded.
What exists already is reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from superres.cli._options import after_training, config_options

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
    add = parser.add_argument
    add("--data-root", default="data/quickstart", metavar="DIR")
    add("--work-dir", default=f"work_dirs/{CONFIG}", metavar="DIR")
    config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prepare, train, test, compare."""
    from superres.engine import entry as engine

    data, work_dir = Path(args.data_root), Path(args.work_dir)
    options = [f"data_root={data}", *args.cfg_options]
    print(f"[1/4] photographs, packed to {data}", flush=True)
    prepare(data)
    print(f"[2/4] training {CONFIG} (Ctrl-C saves; run again to go on)", flush=True)
    code = engine.train(CONFIG, options, work_dir=str(work_dir), resume="auto")
    if not code:
        print("[3/4] testing on photographs it never saw", flush=True)
        how = {"sets": ["holdout"], "protocols": ["edsr-y"], "save_images": True}
        out = str(work_dir / "test")
        code = engine.test(CONFIG, str(work_dir / "best.pth"), out=out, options=options, **how)
    if not code:
        print(f"[4/4] comparison: {compare(data, work_dir)}")
        after_training(work_dir, test=False)
    return code


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
        hr, lr = [], []
        for package, inside, _ in (photo for photo in PHOTOGRAPHS if photo[2] == name):
            path = photograph(package, inside)
            image = modcrop(read_image(path), 4)
            if path.suffix == ".jpg":
                image = imresize(image, scale=0.5)
            hr.append((path.stem, lambda image=image: image))
            lr.append((path.stem, lambda image=image: imresize(image, scale=0.5)))
        target.mkdir(parents=True, exist_ok=True)
        pack_images(hr, target / "HR.lmdb", num_workers=0, overwrite=True)
        pack_images(lr, target / "LR_bicubic_X2.lmdb", num_workers=0, overwrite=True)
        print(f"  {target}: {', '.join(stem for stem, _ in hr)}")


def compare(root: Path, work_dir: Path) -> Path:
    """Write the comparison of the held-out photographs, one below the other."""
    import numpy as np

    from superres.datasets.storage import open_store
    from superres.imaging.comparison import comparison
    from superres.imaging.io import read_image, write_image

    hr, lr = (open_store(root / f"holdout/{side}.lmdb") for side in ("HR", "LR_bicubic_X2"))
    rows = []
    for name in hr.names():
        sr = read_image(work_dir / f"test/images/holdout/x2/{name}.png")
        rows.append(comparison(np.asarray(lr.read(name)), sr, np.asarray(hr.read(name))))
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(r, ((0, 8), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    write_image(work_dir / "comparison.png", np.vstack(rows))
    return work_dir / "comparison.png"
