"""mmengine's own hooks, as they are, on this trainer."""

from __future__ import annotations

import inspect
import re

import mmengine.hooks
import pytest
from mmengine.hooks import Hook

from superres.engine.config.ecosystem import _INSTEAD
from superres.engine.train.checkpoint import iteration_files
from superres.registry import HOOKS

from .conftest import ROOT
from .ranks import ended, start_ranks

USED = ("Hook", "EmptyCacheHook", "EarlyStoppingHook", "ProfilerHook", "SyncBuffersHook")


@HOOKS.register_module()
class Look(Hook):
    """Keeps its runner."""

    def before_train(self, runner):
        Look.runner = runner

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        assert runner.train_loop.dataloader is runner.train_dataloader


def test_what_mmengines_hooks_use_is_there_or_they_are_refused(train):
    assert train("custom_hooks=[dict(type='Look')]", "max_iters=2") == 0
    for name in mmengine.hooks.__all__:
        if name in _INSTEAD or name == "EMAHook":
            assert name not in USED
            continue
        assert name in USED
        source = inspect.getsource(getattr(mmengine.hooks, name))
        for path in set(re.findall(r"\brunner\.(\w+(?:\.(?!warn\b)\w+)?)", source)):
            owner = Look.runner
            for part in path.split("."):
                assert hasattr(owner, part), f"{name}: runner.{path}"
                owner = getattr(owner, part)


def test_early_stopping(train, tmp_path, capsys):
    hook = "type='EarlyStoppingHook',rule='greater',min_delta=99,patience=1"
    monitor = "monitor='valid/psnr@mmediting-rgb'"
    protocols = "protocols=[edsr-y,mmediting-rgb]"
    assert train(f"custom_hooks=[dict({hook},{monitor})]", protocols, "val_interval=2") == 0
    assert "a hook ended the training at iteration 4" in capsys.readouterr().out
    assert iteration_files(tmp_path / "work")[0][0] == 4
    assert train(resume="auto") == 0
    assert iteration_files(tmp_path / "work")[0][0] == 12


@pytest.mark.filterwarnings("ignore")
def test_the_profiler(train, tmp_path):
    trace = tmp_path / "trace.json"
    hook = f"type='ProfilerHook',by_epoch=False,profile_times=2,json_trace_path='{trace}'"
    assert train(f"custom_hooks=[dict({hook},activity_with_cuda=False)]", "max_iters=4") == 0
    assert b"convolution" in trace.read_bytes()


SYNC = """
from mmengine.hooks import Hook
from superres.registry import HOOKS

@HOOKS.register_module(force=True)
class Buffers(Hook):
    priority = "LOWEST"

    def before_val_epoch(self, runner):
        found = sum(b.double().sum() for k, b in runner.module.named_buffers() if "running" in k)
        print("buffers", float(found), flush=True)
"""


def test_buffers_are_the_same_on_all_ranks_in_a_validation(options, tmp_path):
    (tmp_path / "buffers.py").write_text(SYNC)
    (tmp_path / "bn.py").write_text(
        f"_base_ = {str(ROOT / 'configs/srresnet/srresnet_x2c64b16_g1_300k_div2k.py')!r}\n"
        "custom_imports = dict(imports='buffers')\n"
        "custom_hooks = [dict(type='SyncBuffersHook'), dict(type='Buffers')]\n"
    )
    env = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    short = [*options, "max_iters=2"]
    ranks = start_ranks(short, tmp_path / "work", [], [], env=env, config=str(tmp_path / "bn.py"))
    found = [re.findall("buffers (.*)", output) for _, output in ended(ranks)]
    assert found[0] == found[1]
    assert len(found[0]) == 1
