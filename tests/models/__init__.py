"""Networks of this package, and the rows of the ablation study as their configs state them."""

from pathlib import Path

from mmengine.config import Config


def ablation_rows() -> dict[str, dict]:
    """Arguments of SRCNNAblation at x2 by the name of the row: 'task1', 'clean-bn'."""
    found = {}
    for path in (Path(__file__).parents[2] / "configs/ablation").glob("*_x2*.py"):
        backbone = Config.fromfile(path).model.backbone.to_dict()
        if backbone.pop("type") == "SRCNNAblation":
            found[path.name.split("_")[0].removeprefix("ablation-")] = backbone
    return dict(sorted(found.items()))
