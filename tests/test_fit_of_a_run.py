"""What would train or resume wrongly without a word: workers, the schedule."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook, Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict, PolyLR
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from projects.cpm_avs.launch import ResumedCheckpointHook, read_config
from projects.cpm_avs.safe_checkpoint import CheckpointError
from projects.cpm_avs.training.hooks.checkpoint_hook import ExactCheckpointHook

ROOT = Path(__file__).resolve().parents[1]


def test_without_workers_none_persist() -> None:
    loaders = {f"{name}_dataloader.num_workers": 0 for name in ("train", "val", "test")}
    cfg = read_config(str(ROOT / "configs/cpm_mbv2-yamnet_stamps.py"), loaders)
    assert "persistent_workers" not in cfg.train_dataloader
    kept = read_config(str(ROOT / "configs/cpm_mbv2-yamnet_stamps.py"))
    assert kept.train_dataloader.persistent_workers is True


def run(folder: Path, iterations: int, **settings: Any) -> None:
    """Train the toy model, or go on with it; settings of the config by dotted keys."""
    cfg = Config.fromfile(ROOT / "tests/configs/toy_iter.py")
    cfg.merge_from_dict({"train_cfg.max_iters": iterations, "train_cfg.val_interval": 100})
    cfg.default_hooks.checkpoint.update(interval=2, save_best=None)
    cfg.param_scheduler[0].end = 8
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in settings.items()})
    cfg.work_dir, cfg.resume = str(folder), True
    cfg.experiment_name = f"{folder.name}-{iterations}-{settings}"
    with DefaultScope.overwrite_default_scope("mmseg"):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(ResumedCheckpointHook(source="latest"))
        runner.train()


def test_another_schedule_is_refused_on_resume(tmp_path: Path) -> None:
    end = dict(param_scheduler__0__end=4)
    run(tmp_path, 4, **end)
    with pytest.raises(CheckpointError, match=r"scheduler\.0 has (end=4|total_iters=3) there and"):
        run(tmp_path, 8)
    with pytest.raises(CheckpointError, match="power=0.9 there and 0.5 in the config"):
        run(tmp_path, 4, **end, param_scheduler__0__power=0.5)
    with pytest.raises(CheckpointError, match="come to 0 after 4 of 8 iterations"):
        run(tmp_path, 8, **end)
    cosine = dict(type="CosineAnnealingLR", by_epoch=False, end=4)
    with pytest.raises(CheckpointError, match=r"its 1 param_.* kinds .* \(CosineAnnealingLR\);"):
        run(tmp_path, 4, param_scheduler=[cosine])
    warmup = dict(type="LinearLR", by_epoch=False, end=2)
    with pytest.raises(CheckpointError, match=r"its 1 param_.* kinds .* \(LinearLR, PolyLR\)"):
        poly = dict(type="PolyLR", power=0.9, by_epoch=False, end=4)
        run(tmp_path, 4, param_scheduler=[warmup, poly])
    run(tmp_path, 4, **end)  # nothing left to do


def test_an_epoch_that_begins_anew_is_told(tmp_path: Path) -> None:
    for start in (None, "iter_4.pth"):
        cfg = Config.fromfile(ROOT / "tests/configs/toy_epoch.py")
        cfg.merge_from_dict({"train_cfg.max_epochs": 2, "param_scheduler.0.end": 2})
        cfg.default_hooks.checkpoint.update(interval=4, by_epoch=False)
        cfg.work_dir, cfg.experiment_name = str(tmp_path), f"amid-{start}"
        cfg.resume, cfg.load_from = start is not None, start and str(tmp_path / start)
        with DefaultScope.overwrite_default_scope("mmseg"):
            Runner.from_cfg(cfg).train()
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert "iteration 4 is amid epoch 2 (of 3 iterations), which begins anew" in logs


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (dict(optim_wrapper__optimizer__lr=0.02), "began with lr=0.01 .*group 0.* config has 0.02"),
        (dict(optim_wrapper__optimizer__weight_decay=0.5), "weight_decay=0.01 .* has 0.5"),
        (dict(optim_wrapper__optimizer__betas=[0.8, 0.9]), r"\[0.9, 0.999\] .* has \[0.8, 0.9\]"),
        (dict(optim_wrapper__optimizer__type="Adam"), "is AdamW, and the config's is Adam;"),
        (dict(optim_wrapper__optimizer__type="SGD"), "is AdamW, and the config's is SGD; resume"),
        (dict(optim_wrapper__optimizer__type="Adamax"), "is AdamW, .* load_from without --resume"),
    ],
)
def test_another_optimiser_is_refused_on_resume(
    tmp_path: Path, settings: dict[str, Any], sentence: str
) -> None:
    run(tmp_path, 4)
    with pytest.raises(CheckpointError, match=f"^latest: its optimiser .*{sentence}") as told:
        run(tmp_path, 8, **settings)
    assert "\n" not in str(told.value)


def test_options_that_change_nothing_may_change_on_resume(tmp_path: Path) -> None:
    run(tmp_path, 4)
    run(tmp_path, 8, optim_wrapper__optimizer=dict(betas=[0.9, 0.999], foreach=True))
    assert (tmp_path / "last_checkpoint").read_text() == "iter_8.pth"


def check(
    saved: dict[str, Any],
    optimiser: torch.optim.Optimizer | OptimWrapperDict,
    *,
    info: dict[str, Any] | None = None,
    resumed: dict[str, Any] | None = None,
    hooks: Sequence[Hook] = (),
    began: Any = None,
    schedulers: Any = None,
    planned: Any = None,
) -> None:
    """As a resumed run does; a checkpoint without ``began`` does not name its optimiser."""
    several = isinstance(optimiser, OptimWrapperDict)
    runner: Any = SimpleNamespace(
        model=torch.nn.Module(),
        optim_wrapper=optimiser if several else SimpleNamespace(optimizer=optimiser),
        param_schedulers=planned,
        max_iters=8,
        hooks=hooks,
    )
    hub = dict(
        log_scalars={}, runtime_info={} if info is None else info, resumed_keys=resumed or {}
    )
    meta = dict(epoch=0, iter=4) | (dict(optimizer_type=began) if began else {})
    whole = dict(state_dict={}, meta=meta, message_hub=hub, optimizer=saved)
    whole["param_schedulers"] = schedulers
    ResumedCheckpointHook(source="iter_4.pth").after_load_checkpoint(runner, whole)


def test_checkpoints_that_do_not_name_their_optimiser_are_known_by_its_options() -> None:
    weights = [torch.nn.Parameter(torch.ones(2))]
    adamw, sgd = torch.optim.AdamW(weights, lr=0.1), torch.optim.SGD(weights, lr=0.1)
    check(adamw.state_dict(), adamw)
    with pytest.raises(CheckpointError, match="its optimiser has amsgrad, .*, and the .* is SGD;"):
        check(adamw.state_dict(), sgd)
    older = adamw.state_dict()
    del older["param_groups"][0]["decoupled_weight_decay"]  # of releases before
    check(older, adamw)


def test_an_optimiser_with_other_groups_is_refused_on_resume() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(3)]
    own, other = (
        torch.optim.SGD([dict(params=weights[:n]), dict(params=weights[n:])], lr=0.1)
        for n in (1, 2)
    )
    check(own.state_dict(), own)
    with pytest.raises(CheckpointError, match=r"iter_4.*2 groups of 3 parameters.*load_from"):
        check(other.state_dict(), own)


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_a_state_of_an_optimiser_has_its_parameters_shapes(kind: Any) -> None:
    """A fused step would read and write other memory, and end the process."""
    weight = torch.nn.Parameter(torch.ones(4, 3))
    momentum = dict(momentum=0.9) if kind is torch.optim.SGD else {}
    optimiser = kind([weight], lr=0.1, fused=True, **momentum)
    weight.grad = torch.ones_like(weight)
    optimiser.step()
    whole = optimiser.state_dict()
    check(whole, optimiser)
    odds = ["x", torch.ones(2), torch.ones(1).expand(4, 3), torch.eye(4)[:, :3].to_sparse()]
    for name in whole["state"][0]:
        for odd in [*odds, torch.tensor(-1.0)]:
            state = {0: whole["state"][0] | {name: odd}}
            with pytest.raises(
                CheckpointError, match=f"^iter_4.pth: its {name} of the optimiser is"
            ):
                check(whole | dict(state=state), optimiser)


def test_records_are_of_the_form_that_a_run_writes() -> None:
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    poly = PolyLR(OptimWrapper(optimiser), begin=0, end=8, by_epoch=False)
    whole, state = optimiser.state_dict(), poly.state_dict()
    check(whole, optimiser, schedulers=[state], planned=[poly])
    odds = dict(last_step="x", _global_step=[1], base_values=[0.1, 0.2], verbose=3, power=math.nan)
    for key, odd in odds.items():
        with pytest.raises(CheckpointError, match=rf"param_scheduler\.0\.{key} is .* no run wrote"):
            check(whole, optimiser, schedulers=[state | {key: odd}], planned=[poly])
    for key, odd in (("lr", "x"), ("lr", math.nan), ("lr", None), ("foreach", math.nan)):
        groups = [whole["param_groups"][0] | {key: odd}]
        with pytest.raises(CheckpointError, match=f"its {key} of the optimiser is .* no run wrote"):
            check(whole | dict(param_groups=groups), optimiser)
    with pytest.raises(CheckpointError, match="message_hub.resumed_keys.eta is 'x', which no run"):
        check(whole, optimiser, resumed=dict(eta="x"))


def test_mmengines_own_checkpoint_hook_deletes_nothing_that_a_checkpoint_names() -> None:
    """A config of MMSegmentation's that is copied brings it along."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    named = dict(best_ckpt="/a", best_ckpt_b="/b", keep_ckpt_ids=["../c"], iter=4)
    for hook, left in ((CheckpointHook(), {"iter"}), (ExactCheckpointHook(), named.keys())):
        info = dict(named)
        check(optimiser.state_dict(), optimiser, info=info, hooks=[hook])
        assert info.keys() == left


def test_each_of_several_optimisers_is_compared_on_resume() -> None:
    began = dict(visual="SGD", sound="Adam")

    def made(lr: float = 0.1, kind: Any = torch.optim.Adam, power: float = 0.9) -> tuple[Any, Any]:
        weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
        both = OptimWrapperDict(
            visual=OptimWrapper(torch.optim.SGD(weights[:1], lr=0.2)),
            sound=OptimWrapper(kind(weights[1:], lr=lr)),
        )
        poly = PolyLR(both["visual"], power=power, begin=0, end=8, by_epoch=False)
        return both, dict(visual=[poly], sound=[])

    own, schedule = made()
    saved, states = own.state_dict(), dict(visual=[schedule["visual"][0].state_dict()], sound=[])
    check(saved, own, began=began, schedulers=states, planned=schedule)
    with pytest.raises(CheckpointError, match="optimiser sound began with lr=0.1 .* has 0.5"):
        check(saved, made(lr=0.5)[0], began=began)
    with pytest.raises(
        CheckpointError, match="optimiser sound is Adam, and the config's is AdamW;"
    ):
        check(saved, made(kind=torch.optim.AdamW)[0], began=began)
    other, changed = made(power=0.5)
    with pytest.raises(CheckpointError, match=r"scheduler\.visual\.0 has power=0.9 there and 0.5"):
        check(saved, other, began=began, schedulers=states, planned=changed)
    single = own["visual"].optimizer
    with pytest.raises(
        CheckpointError, match="has the optimisers visual, sound, .* config has one"
    ):
        check(saved, single, began=began)
    with pytest.raises(
        CheckpointError, match="its optimiser is not of the config's visual, sound;"
    ):
        check(single.state_dict(), own, began="SGD")
    with pytest.raises(CheckpointError, match="its optimizer.sound is no dict with state"):
        check(saved | dict(sound=[]), own, began=began)
