"""A loss that is not a number: an error, or with a gradient scaler a step that is skipped."""

import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, DefaultScope
from mmengine.runner import Runner
from mmseg.structures import SegDataSample
from ranks import run_on_ranks
from resuming import assert_same
from tiny import build_tiny, losses_of, tiny_batch
from torch import nn
from train_driver import ROOT

from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.training.diagnostics.stability import assignment_counts
from projects.cpm_avs.training.finite import FiniteGuard, NonFiniteLossError
from projects.cpm_avs.training.hooks import FiniteLossHook

NAN = float("nan")
SAMPLES = [
    SegDataSample(metainfo=dict(img_path=f"{k}.jpg", clip_id=f"clip{k}", frame_index=k))
    for k in (4, 7)
]


@OPTIM_WRAPPERS.register_module(force=True)
class CPUScaler(AmpOptimWrapper):
    """mmengine's wrapper for mixed precision with a scaler for the CPU, in full precision."""

    def __init__(self, **kwargs) -> None:
        OptimWrapper.__init__(self, **kwargs)
        self.loss_scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        self._scale_update_param = None

    optim_context = OptimWrapper.optim_context


# ---- the guard


@pytest.mark.parametrize("value", [NAN, float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_loss_that_is_not_finite_is_named_with_its_samples(value, dtype):
    losses = dict(loss_ce=torch.tensor(1.0), loss_dice=torch.tensor([1.0, value], dtype=dtype))
    with pytest.raises(NonFiniteLossError) as caught:
        FiniteGuard().check(losses, SAMPLES)
    message = str(caught.value)
    assert message.startswith("loss_dice = ") and "loss_ce" not in message
    assert "4.jpg (clip_id clip4, frame_index 4)" in message and "7.jpg" in message


def test_finite_losses_pass_however_large():
    large = torch.full((4,), torch.finfo(torch.float32).max)
    losses = dict(loss=torch.zeros((), requires_grad=True), loss_large=large)
    assert FiniteGuard().check(losses, SAMPLES)


def test_what_a_scaler_skips_is_remembered_until_the_next_step():
    guard = FiniteGuard()
    guard.skips = True
    assert not guard.check(dict(loss=torch.tensor(NAN)), SAMPLES) and "loss = nan" in guard.met
    assert guard.check(dict(loss=torch.tensor(1.0)), SAMPLES) and not guard.met


def meet(rank: int) -> tuple[str, str]:
    guard = FiniteGuard()
    losses = dict(loss=torch.tensor(NAN if rank == 1 else 1.0))
    sample = SegDataSample(metainfo=dict(img_path=f"of_rank_{rank}.jpg"))
    try:
        guard.check(losses, [sample])
    except NonFiniteLossError as error:
        raised = str(error)
    guard.skips = True
    guard.check(losses, [sample])
    return raised, guard.met


def test_all_ranks_stop_or_skip_together():
    (raised, met), other = run_on_ranks(2, meet)
    assert (raised, met) == other
    assert "of_rank_1.jpg" in met and "of_rank_0.jpg" not in met and met in raised


def test_nothing_is_learned_from_a_step_that_is_skipped():
    model = build_tiny()
    criterion = model.criterion
    criterion.finite.skips = True
    with torch.no_grad():
        model.decode_head.query_feat.weight[0, 0] = torch.nan
    assert not losses_of(model, tiny_batch())["loss_cls"].isfinite()
    assert not criterion.mixture.bank.count.any() and "clip0" in criterion.finite.met
    assert not assignment_counts(criterion.last_assignment, criterion.num_classes).any()


# ---- in a run


@pytest.fixture
def run(tmp_path):
    """Trains the toy model with a scaler; its loss is NaN in the steps given."""

    def train(name: str, nan_at: list[int], *, resume: str | None = None, **hook) -> Runner:
        config = Config.fromfile(ROOT / "tests" / "configs" / "toy_iter.py")
        config.work_dir, config.experiment_name = str(tmp_path / name), f"{tmp_path.name}/{name}"
        config.model.nan_at = nan_at
        config.default_hooks.checkpoint.max_keep_ckpts = -1
        config.optim_wrapper.type = "CPUScaler"
        config.custom_hooks.append(dict(type="FiniteLossHook", **hook))
        if resume is not None:
            config.load_from, config.resume = resume, True
        with DefaultScope.overwrite_default_scope("mmseg"):
            runner = Runner.from_cfg(config)
            runner.train()
        return runner

    return train


def test_a_run_goes_on_over_the_steps_that_the_scaler_skips(run, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        runner = run("run", [5, 12, 13])
    assert runner.iter == 24
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert runner.optim_wrapper.loss_scaler.get_scale() == 1024 / 2**3
    log = next((tmp_path / "run").glob("*/*.log")).read_text()
    assert "(2 in a row, 3 in this run); the loss scale is 128" in log
    saved = load_safely(tmp_path / "run" / "iter_24.pth")
    assert saved["skipped_steps"] == dict(in_a_row=0, total=3)
    # 21 of 24 steps moved the parameters.
    assert {float(state["step"]) for state in saved["optimizer"]["state"].values()} == {21.0}


def test_many_in_a_row_end_the_run(run, tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"(?s)loss_extra = nan.*3 steps in a row.*--amp"):
        run("run", list(range(11, 25)), max_skipped=3)
    last = (tmp_path / "run" / "last_checkpoint").read_text()
    assert load_safely(tmp_path / "run" / last)["meta"]["iter"] == 12  # with the best one


def test_a_resumed_run_counts_on(run, tmp_path):
    """Steps 6 to 9 are skipped; the checkpoint lies after the third of them."""
    run("whole", [6, 7, 8, 9])
    middle = tmp_path / "whole" / "iter_8.pth"
    assert load_safely(middle)["skipped_steps"] == dict(in_a_row=3, total=3)
    run("rest", [1], resume=str(middle))  # the model counts its own steps: this is the ninth
    left, right = (load_safely(tmp_path / name / "iter_24.pth") for name in ("whole", "rest"))
    assert left["skipped_steps"] == dict(in_a_row=0, total=4)
    for key in ("state_dict", "optimizer", "param_schedulers", "random_states"):
        assert_same(left[key], right[key], key)  # the log's losses hold the NaNs, unequal ever
    with pytest.raises(NonFiniteLossError, match="4 steps in a row"):
        run("ended", [1], resume=str(middle), max_skipped=4)


# ---- the hook


def fake_runner(model: nn.Module, scaler=None) -> SimpleNamespace:
    wrapper = SimpleNamespace() if scaler is None else SimpleNamespace(loss_scaler=scaler)
    return SimpleNamespace(
        iter=0, model=model, optim_wrapper=wrapper, logger=logging.getLogger("test_finite")
    )


def toy() -> nn.Module:
    model = nn.Module()
    model.criterion = SimpleNamespace(finite=FiniteGuard())
    return model


@pytest.mark.parametrize("scaler", [None, torch.amp.GradScaler("cpu", enabled=False)])
def test_without_a_scaler_nothing_is_skipped(scaler):
    runner = fake_runner(toy(), scaler)
    hook = FiniteLossHook()
    hook.before_train(runner)
    assert not runner.model.criterion.finite.skips
    hook.after_train_iter(runner, 0)


def test_gradients_that_never_fit_end_the_run_too():
    scales = iter([4.0, 4.0, 2.0, 2.0, 1.0, 0.5])  # kept, skipped, kept, skipped, skipped
    scaler = SimpleNamespace(is_enabled=lambda: True, get_scale=lambda: next(scales))
    runner = fake_runner(toy(), scaler)
    hook = FiniteLossHook(max_skipped=2)
    hook.before_train(runner)
    for _ in range(4):
        hook.after_train_iter(runner, 0)
    with pytest.raises(NonFiniteLossError, match="gradients are not finite"):
        hook.after_train_iter(runner, 0)


def test_running_statistics_that_are_spoiled_end_the_run():
    model = toy()
    model.norm = nn.BatchNorm2d(2)
    runner = fake_runner(model, torch.amp.GradScaler("cpu"))
    hook = FiniteLossHook()
    hook.before_train(runner)
    model.criterion.finite.met = "loss = nan"
    hook.after_train_iter(runner, 0)
    model.norm.running_var[1] = torch.inf
    with pytest.raises(NonFiniteLossError, match="statistics of norm"):
        hook.after_train_iter(runner, 1)


def test_a_limit_below_one_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        FiniteLossHook(max_skipped=0)


def test_a_model_without_a_criterion_is_refused():
    model = nn.Linear(1, 1)
    model.criterion = None
    with pytest.raises(ValueError, match="model.criterion is None.*training needs one"):
        FiniteLossHook().before_train(fake_runner(model))
