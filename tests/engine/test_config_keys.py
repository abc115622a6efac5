"""Top-level keys that nothing reads."""

import logging

import pytest

from superres.engine.config.check import check_config
from superres.engine.config.load import load_config
from superres.errors import UserError
from tests.engine.conftest import ROOT

BASE = ROOT / "configs/edsr/edsr_x2c64b16_g1_300k_div2k.py"


@pytest.fixture(autouse=True)
def heard(caplog):
    with caplog.at_level(logging.WARNING, logger="superres"):
        yield


@pytest.fixture
def config(tmp_path):
    def write(text, base=BASE):
        path = tmp_path / "mine.py"
        path.write_text(f"_base_ = {str(base)!r}\n{text}\n" if base else text)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("slip", "meant"),
    [
        ("max_itres = 5", "max_iters"),
        ("global_batchsize = 4", "global_batch_size"),
        ("train_sets = ['a']", "train_set"),
        ("lr_patch_size = 24", "lq_patch_size"),
        ("load_form = 'x.pth'", "load_from"),
        ("scal = 3", "scale"),
    ],
)
def test_a_slip_is_an_error_that_names_the_near_key(config, slip, meant):
    key = slip.split(" = ")[0]
    with pytest.raises(UserError, match=rf"mine\.py: nothing reads its key '{key}'.*{meant}"):
        load_config(config(slip))


@pytest.mark.parametrize(
    "text",
    [
        "max_itres = 5\nmax_iters = '${max_itres}'",  # referred to
        "train_sets = ['a']\ntest_sets = train_sets",  # used by the config's own code
        "_max_itres = 5",
        "import math\nmax_iters = math.ceil(3.5)",
        "metrics_of_mine = dict(a=1)\nval_interval = '${metrics_of_mine.a}'",
    ],
)
def test_a_value_of_ones_own_is_none(config, text, caplog):
    with caplog.at_level(logging.WARNING):
        load_config(config(text))
    assert not caplog.records


def test_a_key_like_no_other_is_told(config, caplog):
    load_config(config("weather = dict()"))
    assert "nothing reads its key 'weather'" in caplog.text


def test_shipped_configs_have_none(caplog):
    for path in sorted((ROOT / "configs").rglob("*.py")):
        if "_base_" not in path.parts:
            load_config(str(path))
    assert not caplog.records


def test_a_resolved_config_is_read_again(config, caplog):
    """As a run leaves it behind: everything in place, no references."""
    cfg = load_config(
        config(
            "iters_of_mine = 7\nmax_iters = '${iters_of_mine}'\nscal = '${scale}'\n"
            "_base_scale = '${scal}'"
        )
    )
    again = load_config(config(cfg.pretty_text, base=None))
    assert again.max_iters == 7
    assert [r.getMessage().split("key ")[1] for r in caplog.records] == ["'scal'"]


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("channels=0", "channels = 0 must be a whole number of at least 1"),
        ("channels=-4", "channels = -4 must be a whole number of at least 1"),
        ("num_blocks=-3", "num_blocks = -3 must be a whole number of at least 1"),
        ("channels='64'", "channels = '64' must be a whole number"),
        ("channels=True", "channels = True must be a whole number"),
        ("res_scale='a'", "res_scale = 'a' must be a number"),
        ("res_scale=float('nan')", "res_scale = nan must be a number"),
        ("rgb_mean=0.5", "rgb_mean = 0.5 must be a list such as"),
        ("channels=10**9", "EDSR: Storage size"),
    ],
)
def test_a_backbone_that_cannot_be(config, argument, words):
    cfg = load_config(config(f"model = dict(backbone=dict({argument}))"))
    with pytest.raises(UserError, match=rf"config: model\.backbone.*{words}"):
        check_config(cfg)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("deterministic = 'maybe'", "deterministic = 'maybe' must be True or False"),
        (
            "auto_scale_lr = dict(enable='no', base_batch_size=16)",
            "auto_scale_lr.enable = 'no' must be True or False",
        ),
    ],
)
def test_a_word_is_no_yes(config, text, words):
    from superres.engine.config.scale_lr import scale_lr

    def read():
        cfg = load_config(config(text))
        check_config(cfg)
        scale_lr(cfg)

    with pytest.raises(UserError, match=words):
        read()
