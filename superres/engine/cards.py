"""Cards of the weights that come with the package, made from the record of their training."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from superres.checkpoints.shipped import shipped
from superres.errors import UserError
from superres.files import write_text

from .config.load import load_config
from .config.values import to_plain
from .records import TrainingRecord, find_records, results_table

DATA = {
    "291": "291 photographs: T91 (Yang et al., 2010) and the 200 training pictures of the Berkeley "
    "segmentation set (BSDS500). Low-quality pictures were made from them by MATLAB's bicubic.",
}
LICENCE = {
    "291": "The weights are under the project's licence (Apache-2.0). T91 comes without a stated "
    "licence and BSDS500 for non-commercial research and education; no picture of either is part "
    "of the package. Whether weights inherit anything from the pictures they were trained on is "
    "not settled everywhere: judge for your own use.",
}
LIMITS = (
    "Trained on clean pictures reduced by bicubic, and for nothing else: noise, JPEG blocks and "
    "blur come out sharper, not removed; pictures reduced in another way gain less. It invents no "
    "detail: a network that is trained on the absolute error prefers the smooth answer where "
    "several are possible. Small on purpose; larger networks score higher."
)


def write_cards() -> list[Path]:
    """Write ``NAME.md`` beside each weight file; gives the files that changed.

    Raises:
        UserError: no training on record was tested with a file.
    """
    changed = []
    for name, path in shipped().items():
        target, text = path.with_suffix(".md"), card(name, path)
        if not target.is_file() or target.read_text(encoding="utf-8") != text:
            write_text(target, text)
            changed.append(target)
    return changed


def card(name: str, path: Path) -> str:
    """The text of one card."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    record = _record_of(path, digest)
    run, results = record.run, record.results
    config = _backbone(record)
    if run["train_set"] not in DATA:
        raise UserError(
            f"{record.folder}: trained on {run['train_set']!r}, of which cards know neither origin "
            "nor licence: add it to DATA and LICENCE in superres/engine/cards.py"
        )
    start = f", started from {run['load_from']}" if run.get("load_from") else ""
    lines = [
        f"# {name}",
        "",
        "Made by `superres models metafile` from the training's record.",
        "",
        f"- **Use**: `superres.load_model({name!r})`, `superres upscale --model {name}`",
        f"- **Network**: {config['type']}, {_told(config)}; {results['parameters']:,} parameters",
        f"- **File**: `{path.name}`, {path.stat().st_size:,} bytes, sha256 `{digest}`",
        f"- **Data**: {DATA[run['train_set']]}",
        f"- **Recipe**: `{run['config']}`{start}, {run['iterations']:,} iterations, seed "
        f"{run['seed']}, commit `{run['commit'][:12]}`, on {run['hardware']}; validated on one "
        "256x256 crop of each of DIV2K's validation pictures, which chose the best weights",
        f"- **Limits**: {LIMITS}",
        f"- **Licence**: {LICENCE[run['train_set']]}",
        "",
        "## Scores",
        "",
        *results_table([record], "../../docs/results"),
        "",
        *(protocol["line"] for protocol in results["protocols"].values()),
    ]
    return "\n".join(lines) + "\n"


def _record_of(path: Path, digest: str) -> TrainingRecord:
    for record in find_records():
        if record.results["checkpoint"]["sha256"] == digest:
            return record
    raise UserError(
        f"{path}: no training in docs/results was tested with this file; test it with "
        "`superres test CONFIG FILE --out DIR` and put that on record with `superres models record`"
    )


def _backbone(record: TrainingRecord) -> dict[str, Any]:
    path = record.folder / "config.py"
    model = to_plain(load_config(os.fspath(path)).get("model", {}))
    if "type" not in model.get("backbone", {}):
        raise UserError(f"{path}: names no network (model.backbone.type); restore it from git")
    return model["backbone"]


def _told(config: dict[str, Any]) -> str:
    words = {"channels": "channels", "num_blocks": "blocks"}
    return ", ".join(f"{config[key]} {word}" for key, word in words.items() if key in config)
