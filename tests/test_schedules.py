"""Learning rates as the optimiser and the runner really have them, in runs of any length."""

import math
from pathlib import Path

import pytest
import torch
from config_leaves import load
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.optim import CosineAnnealingLR, build_optim_wrapper
from mmengine.registry import DefaultScope, init_default_scope
from mmengine.runner import Runner
from mmseg.registry import MODELS
from tiny_config import shrink
from train_driver import ROOT

from projects.cpm_avs.training.schedules import CosineAfterWarmupLR

PARTS = ("backbone", "audio_backbone", "audio_decoder", "decode_head", "criterion")


@pytest.mark.parametrize(
    ("name", "image", "audio"),
    [
        ("cpm_r50_avss", 1e-5, 1e-5),
        ("cpm_r50_s4-224", 1e-5, 1e-5),
        ("cpm_r50_vpo-ss", 1e-5, 1e-4),
        ("cpm_r50_stamps", 6e-5, 3e-4),
        ("cpm_mbv2-yamnet_stamps", 6e-5, 3e-4),
    ],
)
def test_every_part_has_its_rate(name, image, audio):
    """Read from the groups of the optimiser that the config builds."""
    init_default_scope("mmseg")
    cfg = shrink(load(name), narrow=False)
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rates: dict[str, set[float]] = {part: set() for part in PARTS}
    decays: dict[str, float] = {}
    for group in groups:
        for parameter in group["params"]:
            full = names.pop(id(parameter))
            rates[full.split(".")[0]].add(round(group["lr"], 12))
            decays[full] = group["weight_decay"]
    # None twice, and what is left out is frozen.
    assert not any(p.requires_grad for p in model.parameters() if id(p) in names)
    rest = cfg.optim_wrapper.optimizer.lr
    assert rates == dict(
        backbone={image}, audio_backbone={audio}, audio_decoder={rest}, decode_head={rest},
        criterion={rest},
    )  # fmt: skip
    still = {
        name
        for name, module in model.named_modules()
        if isinstance(module, (torch.nn.LayerNorm, torch.nn.GroupNorm))
        and module.weight is not None
    }
    assert still and all(decays[f"{name}.weight"] == 0 for name in still)
    assert decays["decode_head.query_feat.weight"] == decays["criterion.prompted_path.prompt_embed"
        ".weight"] == decays["decode_head.decoder.classifier.log_scale"] == 0  # fmt: skip
    assert decays["decode_head.decoder.mask_embed.0.weight"] == 1e-4


class Rates(Hook):
    """Notes the rate with which each step is done."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        self.seen.append(runner.optim_wrapper.get_lr()["lr"][0])


def rates_of(folder: Path, schedule: str, **train_cfg) -> list[float]:
    """Rates of the steps of a run of the toy model, as shares of the config's."""
    toy = "toy_epoch" if "max_epochs" in train_cfg else "toy_iter"
    cfg = Config.fromfile(ROOT / f"tests/configs/{toy}.py")
    own = Config.fromfile(ROOT / f"configs/_base_/schedules/{schedule}.py")
    cfg.param_scheduler, cfg.train_cfg = own.param_scheduler, own.train_cfg | train_cfg
    cfg.optim_wrapper.optimizer.lr = 1.0
    cfg.work_dir, cfg.experiment_name = str(folder), folder.name
    rates = Rates()
    with DefaultScope.overwrite_default_scope("mmseg"):
        runner = Runner.from_cfg(cfg)
        runner.register_hook(rates)
        runner.train()
    assert list(folder.glob("*_[0-9]*.pth"))  # validated and saved at the end, however early
    return rates.seen


def warmup(start: float, length: int, step: int) -> float:
    """MMEngine's LinearLR is at 1 in its last step."""
    return start + (1 - start) * min(step / (length - 1), 1.0)


@pytest.mark.parametrize("length", [1, 2, 20, 21, 30])
def test_a_run_of_any_length_with_the_small_schedule(tmp_path, length):
    """Shorter than the warm-up, than the way to the first validation, to the first checkpoint."""
    expected = [
        warmup(0.05, 20, k) * (1 + math.cos(math.pi * max(k - 20, 0) / (length - 20))) / 2
        if length > 20
        else warmup(0.05, 20, k)
        for k in range(length)
    ]
    rates = rates_of(tmp_path, "schedule_stamps", max_iters=length)
    assert rates == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("epochs", [1, 4])
def test_a_run_of_any_length_with_the_papers_schedule(tmp_path, epochs):
    """3 iterations an epoch; poly 0.9, which is at 0 in the last step, times the warm-up."""
    length = 3 * epochs
    expected = [warmup(0.01, 500, k) * (1 - k / (length - 1)) ** 0.9 for k in range(length)]
    rates = rates_of(tmp_path, "schedule_100e", max_epochs=epochs)
    assert rates == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_long_run_has_mmengines_cosine():
    def rates(kind: type) -> list[float]:
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=6e-4)
        schedule = kind(optimizer, begin=20, end=600, by_epoch=False)
        found = []
        for _ in range(600):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    assert rates(CosineAfterWarmupLR) == rates(CosineAnnealingLR)
