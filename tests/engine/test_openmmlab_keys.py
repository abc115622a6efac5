"""Keys as a user of OpenMMLab writes them: each does what it says, or is refused with advice."""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import EMAHook, Hook, ParamSchedulerHook

from superres.cli.main import main
from superres.engine.config.load import load_config
from superres.engine.config.values import to_plain
from superres.errors import UserError
from superres.registry import HOOKS

from .conftest import CONFIG, ROOT, read_trace, start
from .ranks import ended, environment, free_port

TINY = """
_base_ = {base!r}
data_root = {world!r}
train_set = 'train'
val_sets = []
test_sets = []
lq_patch_size = 12
global_batch_size = 4
num_workers = 0
max_iters = 6
val_interval = 3
tensorboard = False
model = dict(backbone=dict(channels=8, num_blocks=1))
optim_wrapper = dict(optimizer=dict(lr=0.001))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[2, 4], gamma=0.5)]
"""


class Named(Hook):
    """Writes its name and the learning rate."""

    def __init__(self, path: str) -> None:
        self.path = path

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        lr = runner.optim_wrapper.optimizer.param_groups[0]["lr"]
        with open(self.path, "a") as file:
            file.write(f"{type(self).__name__} {lr}\n")


class First(Named):
    pass


class Second(Named):
    pass


class Probe(Hook):
    """What the process is like while it trains."""

    def __init__(self, path: str) -> None:
        self.path = path

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        distributed = torch.distributed.is_initialized()
        found = {
            "deterministic": torch.are_deterministic_algorithms_enabled(),
            "workers": [type(p).__name__ for p in multiprocessing.active_children()],
            "backend": torch.distributed.get_backend() if distributed else None,
        }
        Path(self.path).write_text(json.dumps(found))


calls: list[str] = []
"""The stages of :class:`Stages` in their order."""
Stages = type(
    "Stages",
    (Hook,),
    {stage: lambda *_, _own=stage, **__: calls.append(_own) for stage in Hook.stages},
)


class MySchedulerHook(ParamSchedulerHook):
    pass


for _hook in (First, Second, Probe, Stages, MySchedulerHook):
    HOOKS.register_module(module=_hook, force=True)


class Run:
    """``superres train`` on a config file of the user's."""

    def __init__(self, folder: Path, world: Path, capsys: pytest.CaptureFixture) -> None:
        self.folder, self.capsys = folder, capsys
        (folder / "tiny.py").write_text(TINY.format(base=CONFIG, world=str(world)))

    def config(self, text: str, base: str = "./tiny.py", name: str = "mine") -> str:
        path = self.folder / f"{name}.py"
        path.write_text(f"_base_ = {base!r}\n{text}\n")
        return str(path)

    def __call__(self, text: str, *arguments: str, work: str = "work", code: int = 0) -> list[dict]:
        """The trace of a run; its output stays in ``out`` and ``err``."""
        trace = self.folder / "trace.jsonl"
        trace.unlink(missing_ok=True)
        self.work = self.folder / work
        self.capsys.readouterr()
        command = ["train", self.config(text), "--work-dir", str(self.work)]
        found = main([*command, "--trace", str(trace), *arguments])
        self.out, self.err = self.capsys.readouterr()
        assert found == code, self.out + self.err
        return read_trace(trace) if trace.exists() else []

    def refused(self, text: str, *arguments: str) -> str:
        """The one message against a config."""
        self(text, *arguments, code=2)
        assert self.err.startswith("error: "), self.err
        assert "Traceback" not in self.err
        return self.err

    def log(self, mode: str) -> list[dict]:
        """Lines of log.jsonl."""
        lines = map(json.loads, (self.work / "log.jsonl").read_text().splitlines())
        return [line for line in lines if line["mode"] == mode]

    def read(self, text: str, *options: str, base: str = "./tiny.py") -> dict:
        """The config that a text stands for."""
        return to_plain(load_config(self.config(text, base), list(options)))


@pytest.fixture
def run(tmp_path: Path, world: Path, capsys: pytest.CaptureFixture) -> Run:
    return Run(tmp_path, world, capsys)


def iterations(trace: list[dict]) -> list[int]:
    return [line["iter"] for line in trace]


# -- another spelling of what superres calls otherwise ------------------------------------------

LOADER = """train_dataloader = dict(
    batch_size=3, num_workers=1, pin_memory=False, batch_sampler=None,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='InfiniteSampler', shuffle=True))"""
MMENGINE = """default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    runtime_info=dict(type='RuntimeInfoHook'),
    param_scheduler=dict(type='ParamSchedulerHook', _scope_='mmengine'),
    sampler_seed=dict(type='mmengine.DistSamplerSeedHook'))"""
EVERY = "default_hooks = dict(checkpoint=dict({}))"
SAME = {
    "randomness = dict(seed=7, deterministic=True)": "seed = 7\ndeterministic = True",
    EVERY.format("type='CheckpointHook', interval=2, by_epoch=False"): "checkpoint_interval = 2",
    EVERY.format("interval=-1, max_keep_ckpts=-1"): (
        "checkpoint_interval = None\nmax_keep_checkpoints = None"
    ),
    EVERY.format("save_best='auto', rule='greater'"): "save_best = 'auto'",
    EVERY.format("save_best=['PSNR']"): "save_best = 'psnr'",
    EVERY.format("save_best='valid/SSIM'"): "save_best = 'valid/ssim'",
    "default_hooks = dict(logger=dict(interval=3))": "log_interval = 3",
    MMENGINE: "",
    "custom_hooks = [dict(type='EMAHook', momentum=0.5, begin_epoch=0, priority='LOW')]": (
        "custom_hooks = []\nema = dict(decay=0.5, priority='LOW')"
    ),
    LOADER: "global_batch_size = 3\nnum_workers = 1\ntrain_dataloader = dict(pin_memory=False)",
    "train_dataloader = dict(sampler=dict(), collate_fn=dict())": "",
    "env_cfg = dict(mp_cfg=dict(mp_start_method='spawn'))": (
        "train_dataloader = dict(start_method='spawn')"
    ),
    "speed = 'max'\nenv_cfg = dict(cudnn_benchmark=False)": (
        "speed = dict(preset='max', autotune=False)"
    ),
    "train_cfg = dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2)": (
        "max_iters = 4\nval_interval = 2"
    ),
    "param_scheduler = dict(type='StepLR', by_epoch=False, step_size=2)": (
        "param_scheduler = [dict(type='StepLR', by_epoch=False, step_size=2)]"
    ),
    "val_evaluator = None\nresume_from = None\nval_cfg = dict(type='ValLoop')": "",
    "fast = 'max'": "speed = 'max'",
}
"""What OpenMMLab's users write, and what it is called here."""


@pytest.mark.parametrize(("theirs", "ours"), SAME.items())
def test_another_spelling(run, theirs, ours, caplog):
    found, wanted = run.read(theirs), run.read(ours)
    for key in ("val_evaluator", "resume_from"):
        found.pop(key, None)
    assert found == wanted
    assert not caplog.records


@pytest.mark.parametrize(
    ("option", "same"),
    [
        ("randomness.seed=7", "seed=7"),
        ("default_hooks.checkpoint.interval=3", "checkpoint_interval=3"),
        ("train_dataloader.batch_size=3", "global_batch_size=3"),
    ],
)
def test_another_spelling_on_the_command_line(run, option, same):
    assert run.read("", option) == run.read("", same)
    with pytest.raises(UserError, match="remove one of them"):
        run.read("", option, f"{same.split('=')[0]}=5")


NO_EFFECT = {
    "randomness = dict(diff_rank_seed=False)": "randomness.diff_rank_seed",
    "default_hooks = dict(visualization=dict(type='VisHook'))": "visualization (tensorboard",
    "train_dataloader = dict(drop_last=False)": "drop_last (every batch is full)",
    "log_processor = dict(type='LogProcessor', window_size=100)": "log_processor",
    "default_scope = 'mmagic'": "default_scope",
    "env_cfg = dict(resource_limit=4096)": "env_cfg.resource_limit",
    "default_hooks = dict(checkpoint=dict(save_optimizer=False))": "save_optimizer (checkpoints",
    "default_hooks = dict(checkpoint=dict(out_dir='elsewhere'))": "--work-dir DIR",
    "env_cfg = dict(mp_cfg=dict(opencv_num_threads=4))": "opencv_num_threads",
}


@pytest.mark.parametrize(("text", "words"), NO_EFFECT.items())
def test_what_has_no_effect_is_named_once(run, text, words, caplog, monkeypatch):
    found, plain = run.read(text), run.read("")
    for cfg in (found, plain):
        cfg.pop("custom_hooks", None)
        cfg.pop("default_scope", None)
    assert found == plain
    assert caplog.text.count("has no effect here") == 1
    assert words in caplog.text
    caplog.clear()
    monkeypatch.setenv("SLURM_PROCID", "1")
    run.read(text)
    assert not caplog.records


SPELT = ("seed = {}", "randomness = dict(seed={})")


@pytest.mark.parametrize("earlier", SPELT)
@pytest.mark.parametrize("later", SPELT)
def test_what_is_written_later_wins(run, earlier, later):
    def seed(text: str, *options: str, base: str = "./tiny.py") -> int:
        return run.read(text, *options, base=base)["seed"]

    base = run.config(earlier.format(7), name="base")
    assert seed("", base=base) == 7  # over the default runtime's
    for value in (0, 3):
        assert seed(later.format(value), base=base) == value
    option = "seed=5" if later == SPELT[0] else "randomness.seed=5"
    assert seed(earlier.format(7), option) == 5


def test_averages_are_written_later_too(run):
    averaged = run.config("custom_hooks = [dict(type='EMAHook')]", name="averaged")
    assert run.read("", base=averaged)["ema"] == pytest.approx(0.9998)
    assert run.read("ema = None", base=averaged)["ema"] is None
    base = run.config("ema = 0.9", name="base")
    assert run.read("custom_hooks = [dict(type='EMAHook', momentum=0.5)]", base=base)["ema"] == 0.5
    (run.folder / "mine.yml").write_text("_base_: ./tiny.py\nrandomness:\n  seed: 7\n")
    assert load_config(str(run.folder / "mine.yml")).seed == 7


def test_a_config_object(run):
    by_file = Config.fromfile(run.config("randomness = dict(seed=7)"))
    by_hand = Config.fromfile(run.config("max_iters = 1", name="other"))
    by_hand.randomness = {"seed": 7}
    by_option = Config.fromfile(run.config("randomness = dict(seed=3)", name="third"))
    for config, options in ((by_file, {}), (by_hand, {}), (by_option, {"seed": 7})):
        before = config.pretty_text
        assert load_config(config, options).seed == 7
        assert config.pretty_text == before  # which stays the caller's


def test_a_saved_config_trains_the_same(run):
    text = (
        f"{LOADER}\nrandomness = dict(seed=7)\nval_sets = ['valid']\n"
        "default_hooks = dict(checkpoint=dict(interval=2), logger=dict(interval=2))\n"
        "custom_hooks = [dict(type='EMAHook', momentum=0.5)]\n"
        "env_cfg = dict(cudnn_benchmark=False, dist_cfg=dict(backend='nccl', timeout=60))"
    )
    first = run(text)
    assert {path.name for path in run.work.glob("iter_*.pth")} == {
        *("iter_2.pth", "iter_4.pth", "iter_6.pth")
    }
    assert [line["iter"] for line in run.log("train")] == [2, 4, 6]
    assert [line["iter"] for line in run.log("val")] == [3, 6]
    assert [len(line["samples"]) for line in first] == [3] * 6
    saved = (run.work / "config.py").read_text()
    for key in ("randomness", "default_hooks", "batch_size=3", "EMAHook"):
        assert key not in saved
    (run.folder / "saved.py").write_text(saved)
    checkpoint = str(run.work / "iter_6.pth")
    for name in ("mine.py", "saved.py"):
        assert main(["test", str(run.folder / name), checkpoint, "--sets", "valid"]) == 0
    trace = run.folder / "again.jsonl"
    arguments = ["train", str(run.folder / "saved.py"), "--work-dir", str(run.folder / "again")]
    assert main([*arguments, "--trace", str(trace)]) == 0
    assert read_trace(trace) == first


# -- resume ---------------------------------------------------------------------------------------


def test_resume_continues(run):
    whole = run("resume = True", work="whole")
    assert "starting from the beginning" in run.out
    first = run("resume = True\nmax_iters = 4")
    rest = run("resume = True")
    assert iterations(rest) == [5, 6]
    assert first + rest == whole
    assert not (run.work / "previous_runs").exists()
    assert iterations(run("resume = False")) == [1, 2, 3, 4, 5, 6]


def test_resume_takes_load_from_for_the_checkpoint(run):
    whole = run("checkpoint_interval = 2", work="whole")
    start = run.work / "iter_2.pth"
    rest = run(f"resume = True\nload_from = {str(start)!r}", work="other")
    assert rest == whole[2:]
    assert "resumed from" in run.out
    # The command line's word goes before.
    assert iterations(run("resume = True", "--resume", str(start), work="whole"))[0] == 3


def test_a_run_that_is_launched_again_goes_on_from_its_own_newest(run, monkeypatch):
    run("checkpoint_interval = 2", work="whole")
    text = f"resume = True\nload_from = {str(run.work / 'iter_2.pth')!r}\ncheckpoint_interval = 1"
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert iterations(run(f"{text}\nmax_iters = 4", work="other")) == [3, 4]
    assert iterations(run(text, work="other")) == [5, 6]


# -- hooks ----------------------------------------------------------------------------------------


def test_a_validation_sees_the_average(run):
    scores = []
    for text in ("", "ema = 0.5"):
        run(f"val_sets = ['valid']\n{text}")
        scores.append([line["results"] for line in run.log("val")])
    assert scores[0] != scores[1]
    best, last = (torch.load(run.work / n, weights_only=True) for n in ("best.pth", "iter_6.pth"))
    key = "backbone.conv_first.weight"
    for state in (best, last):
        assert not torch.equal(state["ema_state_dict"][key], state["state_dict"][key])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("momentum=0.5, begin_iter=3", {"momentum": 0.5, "begin_iter": 3}),
        ("momentum=0.5, interval=2", {"momentum": 0.5, "interval": 2}),
        ("", {}),
    ],
)
def test_an_average_is_mmengines(run, ours, theirs):
    """Against mmengine's own hook, on the weights that the run had."""

    class Other(Hook):
        def before_run(self, runner):
            self.hook = EMAHook(**theirs)
            self.hook.before_run(runner)

        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            self.hook.after_train_iter(runner, batch_idx)

        def after_run(self, runner):
            wanted.update(self.hook.ema_model.module.state_dict())

    wanted: dict[str, torch.Tensor] = {}
    HOOKS.register_module(name="Other", force=True, module=Other)
    run(f"custom_hooks = [dict(type='EMAHook', {ours}), dict(type='Other')]")
    found = torch.load(run.work / "iter_6.pth", weights_only=True)["ema_state_dict"]
    for key, value in wanted.items():
        torch.testing.assert_close(found[key], value, rtol=1e-6, atol=1e-8)


def test_schedules_step_once(run):
    rates = [0.001, 0.001, 0.0005, 0.0005, 0.00025, 0.00025]
    mmengines = "default_hooks = dict(param_scheduler=dict(type='ParamSchedulerHook'))"
    assert [line["lr"] for line in run(mmengines)] == rates


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        ("", "", "First Second"),
        ("", ", priority='high'", "Second First"),
        (", priority='HIGHEST'", ", priority=1", "First Second"),
        # mmengine's schedules step at LOW; a hook behind that sees the next iteration's rate.
        (", priority='VERY_LOW'", "", "Second First"),
    ],
)
def test_priorities_order_the_calls(run, first, second, order):
    calls = run.folder / "calls.txt"
    hooks = [
        f"dict(type={name!r}, path={str(calls)!r}{priority})"
        for name, priority in (("First", first), ("Second", second))
    ]
    run(f"custom_hooks = [{', '.join(hooks)}]\nmax_iters = 3")
    lines = [line.split() for line in calls.read_text().splitlines()]
    assert [name for name, _ in lines[:2]] == order.split()
    assert float(lines[2][1]) == 0.001
    assert float(dict(lines[2:4])["First"]) == (0.0005 if "LOW" in first else 0.001)


def test_all_of_mmengines_stages_are_called(run):
    calls.clear()
    text = "custom_hooks = [dict(type='Stages')]\nval_sets = ['valid']\nmax_iters = {}"
    run(text.format(1))
    start, end = calls.index("before_val"), calls.index("after_val")
    image = ["before_{}_iter", "after_{}_iter"]
    order = ["before_{}", "before_{}_epoch", *image, *image, "after_{}_epoch", "after_{}"]
    assert calls[start : end + 1] == [stage.format("val") for stage in order]
    run(text.format(2), "--resume")
    assert {*Hook.stages} - {*calls} == {s for s in Hook.stages if "_test" in s}
    calls.clear()
    checkpoint = str(run.work / "iter_2.pth")
    assert main(["test", str(run.folder / "mine.py"), checkpoint, "--sets", "valid"]) == 0
    tested = [stage.format("test") for stage in order]
    assert calls == ["before_run", *tested, "after_run"]


def test_further_default_hooks_are_hooks_and_a_class_stands_for_its_name(run):
    calls = run.folder / "calls.txt"
    run(
        f"custom_hooks = [dict(type='Second', path={str(calls)!r})]"
        + f"\nfrom mmengine.runner import IterBasedTrainLoop\nfrom {__name__} import First\n"
        "train_cfg = dict(type=IterBasedTrainLoop, max_iters=1)\n"
        f"default_hooks = dict(mine=dict(type=First, path={str(calls)!r}))"
    )
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["First", "Second"]


# -- processes ------------------------------------------------------------------------------------


def test_a_batch_is_of_one_process(run, tmp_path):
    """On two processes: twice the size together."""
    whole = run("global_batch_size = 6")
    path = run.config(
        "train_dataloader = dict(batch_size=3)\nlauncher = 'pytorch'\nexperiment_name = 'two'"
    )
    trace, port = tmp_path / "two.jsonl", free_port()
    command = [sys.executable, str(ROOT / "tools/train.py"), path]
    command += ["--work-dir", str(tmp_path / "two"), "--trace", str(trace)]
    ranks = [start(command, **environment(rank, 2, port)) for rank in range(2)]
    outputs = []
    for code, output in ended(ranks):
        assert code == 0, output
        outputs.append(output)
    assert [output.count("has no effect here") for output in outputs] == [1, 0]
    samples: dict[int, list] = {}
    for line in sorted(read_trace(trace), key=lambda line: line["rank"]):
        assert len(line["samples"]) == 3
        samples.setdefault(line["iter"], []).extend(line["samples"])
    assert samples == {line["iter"]: line["samples"] for line in whole}


def test_the_process_is_as_the_config_has_it(run):
    probe = run.folder / "probe.json"
    run(
        f"custom_hooks = [dict(type='Probe', path={str(probe)!r})]"
        + "\nnum_workers = 1\nmax_iters = 2\nrandomness = dict(deterministic=True)\n"
        "env_cfg = dict(mp_cfg=dict(mp_start_method='spawn'))"
    )
    found = {"deterministic": True, "workers": ["SpawnProcess"], "backend": None}
    assert json.loads(probe.read_text()) == found


def test_the_launcher_and_its_connection(run, monkeypatch):
    probe = run.folder / "probe.json"
    text = f"custom_hooks = [dict(type='Probe', path={str(probe)!r})]" + (
        "\nlauncher = 'pytorch'\nmax_iters = 1\nenv_cfg = dict(dist_cfg=dict(backend='gloo'))"
    )
    assert "launcher 'pytorch' needs RANK" in run.refused(text)
    run(text, "--launcher", "none")
    assert json.loads(probe.read_text())["backend"] is None
    for key, value in environment(0, 1, free_port()).items():
        monkeypatch.setenv(key, value)
    run(text)
    assert json.loads(probe.read_text())["backend"] == "gloo"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("SUPERRES_DIST_TIMEOUT_MINUTES", raising=False)
    message = run.refused("launcher = 'pytorch'\nenv_cfg = dict(dist_cfg=dict(timeout=2))")
    assert "within 2 s" in message


@pytest.mark.parametrize(("level", "shown"), [("WARNING", 0), ("INFO", 1), ("DEBUG", 2)])
def test_log_level(run, level, shown):
    run(f"log_level = {level!r}")
    assert sum(words in run.out for words in ("iter 6/6", "saved ")) == shown
    assert run.log("train")


def test_the_optimisers_wrapper(run):
    plain = run("")
    same = "constructor='DefaultOptimWrapperConstructor', clip_grad=dict(type='norm', max_norm=99)"
    assert run(f"optim_wrapper = dict({same})") == plain
    assert run("optim_wrapper = dict(clip_grad=dict(type='value', clip_value=1e-9))") != plain
    slower = "paramwise_cfg=dict(custom_keys={'backbone.conv_first': dict(lr_mult=0.1)})"
    assert run(f"optim_wrapper = dict({slower})")[0]["lr"] == pytest.approx(1e-4)


# -- what would train differently -----------------------------------------------------------------

REFUSED = {
    "resume = {}": [("'auto'", "resume = 'auto' must be True or False")],
    "resume = True\nload_from = {}": [("'no.pth'", "cannot resume from no.pth")],
    "randomness = dict({})": [("sed=7", "did you mean seed"), ("seed=-1", "randomness.seed = -1")],
    "default_hooks = dict(checkpoint=dict({}))": [
        ("interval=1, by_epoch=True", "write by_epoch=False"),
        ("interval='2'", "checkpoint.interval = '2' must be a whole number"),
        ("intervall=2", "did you mean interval"),
        ("save_best=['PSNR', 'SSIM']", "there is one best.pth"),
        ("type='MyCheckpointHook'", "custom_hooks"),
    ],
    "default_hooks = dict({})": [
        ("chekpoint=dict(interval=2)", "mmengine's own are checkpoint"),
        ("checkpoint=None", "interval=-1"),
        ("param_scheduler=None", "param_scheduler = []"),
    ],
    "custom_hooks = [dict({})]": [
        ("type='EarlyStopingHook'", "EarlyStoppingHook or EvaluationHook or ProfilerHook?"),
        ("type='ProfilerHook', profile_times=3", "ProfilerHook: training counts iterations"),
        ("type='L1Loss'", "custom_hooks.0.type = 'L1Loss' is not a hook"),
        ("type='ExponentialMovingAverageHook', module_keys=()", "ema = 0.999"),
        ("type='EMAHook', update_buffers=True", "update_buffers = True"),
        ("type='EMAHook', momentum=2", "momentum = 2"),
        ("type='EMAHook'), dict(type='EMAHook', momentum=0.5", "remove one of them"),
        ("type='ParamSchedulerHook'", "the training loop does this"),
        ("type='MySchedulerHook'", "a kind of ParamSchedulerHook"),
        ("type='First', path='x', priority='TOP'", "priority = 'TOP' must be one of HIGHEST"),
    ],
    "train_dataloader = dict({})": [
        ("batchsize=4", "did you mean batch_size"),
        ("sampler=dict(type='InfiniteSampler', shuffle=False)", "random order"),
        ("sampler=dict(type='InfiniteSampler', seed=3)", "write seed = N"),
        ("collate_fn=dict(type='my_collate')", "PackInputs"),
        ("multiprocessing_context='forks'", "'fork' or 'spawn' or 'forkserver'"),
        ("_delete_=True, batch_size=4", "missing key 'train_dataloader.dataset'"),
    ],
    "env_cfg = dict({})": [
        ("cudnn_benchmrk=True", "did you mean cudnn_benchmark"),
        ("dist_cfg=dict(backend='mpi')", "must be 'nccl' or 'gloo'"),
        ("dist_cfg=dict(timeout=0)", "timeout = 0 must be a number of seconds"),
        ("dist_cfg=dict(port=29500)", "MASTER_PORT"),
    ],
    "train_cfg = dict({})": [("type='EpochBasedTrainLoop', max_epochs=3", "max_iters = N")],
    "optim_wrapper = dict({})": [
        ("type='AmpOptimWrapper'", "amp = True"),
        ("_delete_=True, generator=dict()", "no optimizer with a type"),
        ("paramwise_cfg=dict(bias_lr=2)", "known: custom_keys, bias_lr_mult"),
    ],
    "{}": [
        ("env_cfg = 5", "env_cfg = 5 must be a dict"),
        ("launcher = 'mpi'", "launcher 'mpi' must be one of none, pytorch, slurm"),
        ("log_level = 'LOUD'", "log_level = 'LOUD' must be"),
        ("ema = dict(decay=0.5, priority='TOP')", "ema.priority = 'TOP' must be one of"),
        ("val_evaluator = [dict(type='PSNR', crop_border=4)]", "protocols"),
        ("total_iters = 300", "write max_iters"),
        ("auto_scale_lr = dict(enable=True, base_batch=16)", "base_batch_size"),
        ("param_scheduler = [dict(type='StepLR', step_size=2)]", "write by_epoch=False"),
        ("param_scheduler = dict(type='MultiStepLR', by_epoch=False, milestones=4)", "a list of"),
        # Two spellings that contradict each other.
        ("seed = 3\nrandomness = dict(seed=7)", "remove one of them"),
        ("ema = 0.9\ncustom_hooks = [dict(type='EMAHook', momentum=0.5)]", "remove one of them"),
    ],
}
"""By the config's text: what stands in it, and what is said against it."""


@pytest.mark.parametrize(
    ("text", "words"),
    [(text.format(part), words) for text, parts in REFUSED.items() for part, words in parts],
)
def test_what_is_refused(run, text, words):
    message = run.refused(text)
    assert words in message
    key = text.rpartition("\n")[2].split(" = ")[0]
    translated = ("ema.", "resume", "num_workers")
    assert key in message or key == "env_cfg" or any(word in message for word in translated)
