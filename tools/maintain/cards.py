"""Cards of the weights that come with the package, made from the record of their training."""

from __future__ import annotations

import json
import os
from pathlib import Path

from maintain import ROOT, markdown_table
from maintain.records import find_records, results_table
from superres.checkpoints.files import sha256
from superres.checkpoints.shipped import shipped
from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
from superres.errors import UserError

PHOTO_SCORES = ROOT / "docs/results/photo_scores.json"
_SIZE = {"channels": "channels", "num_blocks": "blocks"}
DATA = {
    "291": "291 photographs: T91 (Yang et al., 2010) and the 200 training pictures of the Berkeley "
    "segmentation set (BSDS500). Low-quality pictures were made from them by MATLAB's bicubic.",
    "541": "the 291 photographs of T91 (Yang et al., 2010) and BSDS500's training set, 209 of "
    "CID22 (CC BY-SA 4.0) and 41 of CLIC 2025 (Unsplash licence).",
}
LICENCE = {
    "291": "The weights are under the project's licence (Apache-2.0). T91 comes without a stated "
    "licence and BSDS500 for non-commercial research and education; no picture of either is part "
    "of the package. Whether weights inherit anything from the pictures they were trained on is "
    "not settled everywhere: judge for your own use.",
}
LICENCE["541"] = LICENCE["291"].replace(
    "no picture of either", "CID22 is CC BY-SA 4.0, CLIC's are under Unsplash's licence; no picture"
)
PHOTO_LIMITS = (
    "Trained on JPEGs of quality 40 to 95, on images reduced by the kernels of browsers and "
    "phones, on slight blur and noise, and one time in four on clean ones. It takes blocks and "
    "ringing away and fine texture with them; on clean images edsr-s scores higher. Stronger "
    "damage (quality below 40, motion blur, noise of night shots) is not removed. It invents no "
    "detail."
)
LIMITS = (
    "Trained on clean pictures reduced by bicubic, and for nothing else: noise, JPEG blocks and "
    "blur come out sharper, not removed; pictures reduced in another way gain less. It invents no "
    "detail: a network that is trained on the absolute error prefers the smooth answer where "
    "several are possible. Small on purpose; larger networks score higher."
)


def pages() -> dict[Path, str]:
    """``NAME.md`` beside each weight file."""
    return {path.with_suffix(".md"): card(name, path) for name, path in shipped().items()}


def card(name: str, path: Path) -> str:
    """The text of one card.

    Raises:
        UserError: no training on record was tested with this file.
    """
    digest = sha256(path)
    found = [r for r in find_records() if r.results["checkpoint"]["sha256"] == digest]
    if not found:
        raise UserError(
            f"{path}: no training in docs/results was tested with this file; test it with "
            "`superres test CONFIG FILE --out DIR`, then tools/maintain/records.py"
        )
    record, run, results = found[0], found[0].run, found[0].results
    config = to_plain(load_config(os.fspath(record.folder / "config.py")).model)["backbone"]
    if run["train_set"] not in DATA:
        raise UserError(
            f"{record.folder}: trained on {run['train_set']!r}, whose origin and licence are not "
            "known: add it to DATA and LICENCE in tools/maintain/cards.py"
        )
    start = f", started from {run['load_from']}" if run.get("load_from") else ""
    size = ", ".join(f"{config[k]} {w}" for k, w in _SIZE.items() if k in config)
    lines = [
        f"# {name}",
        "",
        "Made by `tools/maintain/docs.py` from the training's record.",
        "",
        f"- **Use**: `superres.load_model({name!r})`, `superres upscale --model {name}`",
        f"- **Network**: {config['type']}, {size}; {results['parameters']:,} parameters",
        f"- **File**: `{path.name}`, {path.stat().st_size:,} bytes, sha256 `{digest}`",
        f"- **Data**: {DATA[run['train_set']]}",
        f"- **Recipe**: `{run['config']}`{start}, {run['iterations']:,} iterations, seed "
        f"{run['seed']}, commit `{run['commit'][:12]}`, on {run['hardware']}; validated on one "
        "256x256 crop of each of DIV2K's validation pictures, which chose the best weights",
        f"- **Limits**: {PHOTO_LIMITS if 'photo' in name else LIMITS}",
        f"- **Licence**: {LICENCE[run['train_set']]}",
        "",
        "## Scores",
        "",
        *results_table([record], "../../docs/results"),
        "",
        *(protocol["line"] for protocol in results["protocols"].values()),
        *_on_jpegs(name),
    ]
    return "\n".join(lines) + "\n"


def _on_jpegs(name: str) -> list[str]:
    """A table of ``photo_scores.json``, where it holds this network."""
    record = json.loads(PHOTO_SCORES.read_text(encoding="utf-8")) if PHOTO_SCORES.exists() else {}
    scores = record.get("scores", {}).get(f"x{name.rpartition('_x')[2]}", {})
    if name not in scores:
        return []
    cells = {method: {q: f"{v:.2f}" for q, v in row.items()} for method, row in scores.items()}
    rows = [[method, *row.values()] for method, row in cells.items()]
    return [
        "",
        f"Y-PSNR on {record['images']}, reduced by bicubic and saved as JPEG of a quality "
        "(`tools/maintain/photo_scores.py`):",
        "",
        *markdown_table(["method", *(cells[name])], rows),
    ]
