"""Settings that no part takes, and values that it can't work with, end in a sentence on them."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from config_leaves import read_once
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.runner import BaseLoop, Runner, turn_on_activation_checkpointing
from mmseg.registry import DATASETS, HOOKS, MODELS, PARAM_SCHEDULERS

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.launch import built_from, read_config
from projects.cpm_avs.launch.config_agreement import check_together, check_whole
from projects.cpm_avs.safe_checkpoint import CheckpointError

ROOT = Path(__file__).resolve().parents[1]
STAMPS, AVSS = (str(ROOT / "configs" / f"cpm_{n}.py") for n in ("mbv2-yamnet_stamps", "r50_avss"))
LOADER, HEAD, RULES = "train_dataloader", "model.decode_head", "optim_wrapper.paramwise_cfg"


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        # misspelt
        ("optim_wrapper.optimzer.lr", 1, "takes no 'optimzer'; did you mean 'optimizer'"),
        ("optim_wrapper.optimizer.lrr", 1, "AdamW takes no 'lrr'; did you mean 'lr'"),
        ("optim_wrapper.clip_grad.max_nrom", 1, "did you mean 'max_norm'"),
        (f"{RULES}.norm_decay_mul", 0, "did you mean 'norm_decay_mult'"),
        (f"{RULES}.custom_keys.backbone.lr_mul", 0, "did you mean 'lr_mult'"),
        (f"{LOADER}.batchsize", 3, "DataLoader takes no 'batchsize'; did you mean 'batch_size'"),
        (f"{LOADER}.dataset.num_scene", 5, "did you mean 'num_scenes'"),
        (f"{LOADER}.dataset.colour", 1, "StampsDataset takes no 'colour'; it takes"),
        (
            f"{LOADER}.sampler.shuffel",
            True,
            "takes no 'shuffel'; it takes dataset, seed; .*_delete_=True",
        ),
        ("train_cfg.max_iter", 5, "did you mean 'max_iters'"),
        ("default_hooks.checkpoint.intervall", 5, "did you mean 'interval'"),
        ("default_hooks.em_update.begins", 5, "did you mean 'begin'"),
        ("default_hooks.chekpoint.interval", 5, "no type; did you mean default_hooks.checkpoint"),
        (f"{HEAD}.num_querys", 5, "CPMHead takes no 'num_querys'; did you mean 'num_queries'"),
        (f"{HEAD}.classifier.num_component", 5, "did you mean 'num_components'"),
        ("model.backbone.depth", 50, "MobileNetV2 takes no 'depth'; it takes widen_factor"),
        ("model.audio_backbone.frozen_stage", 1, "did you mean 'frozen_stages'"),
        ("model.backbone.init_cfg.chekpoint", "x", "did you mean 'checkpoint'"),
        ("model.backbone.norm_cfg.type", "BNN", "'BNN', .*not registered; did you mean 'BN'"),
        ("model.data_preprocessor.means", 1, "did you mean 'mean'"),
        ("val_evaluator.0.protocol", "x", "did you mean 'protocols'"),
        ("visualizer.vis_backends.0.save_dirr", "x", "did you mean 'save_dir'"),
        ("log_processor.window_siz", 5, "did you mean 'window_size'"),
        ("env_cfg.cudnn_benchmrk", True, "did you mean 'cudnn_benchmark'"),
        ("env_cfg.mp_cfg.mp_start", "fork", "did you mean 'mp_start_method'"),
        ("auto_scale_lr.enabel", True, "did you mean 'enable'"),
        ("randomness.seeds", 1, "did you mean 'seed'"),
        # values
        ("optim_wrapper.optimizer.lr", -1, "is -1; give 0 or more"),
        ("optim_wrapper.optimizer.lr", float("nan"), "is nan; give 0 or more"),
        ("optim_wrapper.optimizer.lr", "abc", "is 'abc'; AdamW takes a number"),
        ("optim_wrapper.clip_grad.max_norm", "abc", "takes a number"),
        (f"{RULES}.norm_decay_mult", "abc", "takes a number"),
        (f"{LOADER}.batch_size", 0, "is 0; give 1 or more"),
        (f"{LOADER}.batch_size", "abc", "DataLoader takes a whole number"),
        (f"{LOADER}.batch_size", 1.5, "DataLoader takes a whole number"),
        (f"{LOADER}.num_workers", -1, "is -1; give 0 or more"),
        (f"{LOADER}.dataset.num_scenes", "abc", "StampsDataset takes a whole number"),
        ("train_cfg.val_interval", 0, "is 0; give 1 or more"),
        ("train_cfg.max_iters", 0, "is 0; give 1 or more"),
        ("train_cfg.max_iters", 1.5, "IterBasedTrainLoop takes a whole number"),
        ("train_cfg.max_iters", "many", "IterBasedTrainLoop takes a whole number"),
        ("default_hooks.checkpoint.interval", "abc", "ExactCheckpointHook takes a whole number"),
        ("default_hooks.checkpoint.by_epoch", "no", "takes True or False"),
        ("param_scheduler.0.start_factor", "abc", "LinearLR takes a number"),
        (f"{HEAD}.num_queries", "abc", "CPMHead takes a whole number"),
        ("model.criterion.prompt_weight", "abc", "CPMCriterion takes a number"),
        ("auto_scale_lr.base_batch_size", "abc", "takes a whole number"),
        ("auto_scale_lr.enable", "yes", "takes True or False"),
        ("randomness.seed", -1, "is -1; give a whole number from 0 to 4294967295"),
        ("randomness.seed", 2**32, "from 0 to 4294967295"),
        ("randomness.seed", "abc", "is 'abc'; give a whole number"),
        ("log_level", "INFOO", "give DEBUG, INFO"),
        ("default_scope", "mmsegg", "it is one of .*mmseg"),
        ("log_processor.window_size", 0, "is 0; give 1 or more"),
        ("default_hooks.logger.interval", 0, "is 0; give 1 or more$"),
        ("default_hooks.em_update.interval", -1, "is -1; give 1 or more$"),
        ("default_hooks.em_update.begin", -1, "is -1; give 0 or more"),
        ("default_hooks.visualization.interval", 0, "is 0; give 1 or more$"),
        ("default_hooks.checkpoint.interval", 0, "is 0; give 1 or more, or -1 for never"),
        ("default_hooks.checkpoint.max_keep_ckpts", -7, "give 1 or more, or -1 for all"),
        ("default_hooks.checkpoint.filename_tmpl", "a.pth", "would share; give one with {}"),
        ("default_hooks.timer.priority", "HIGHH", "did you mean 'HIGH'"),
        ("default_hooks.timer.priority", "urgent", "give one of HIGHEST, .*LOWEST, or 0 to 100"),
        ("default_hooks.timer.priority", 500, "is 500; give one of"),
        ("default_hooks.timer.priority", 1.5, "is 1.5; give one of"),
        ("env_cfg.mp_cfg.mp_start_method", "forkk", "did you mean 'fork'"),
        ("env_cfg.mp_cfg", "fork", "env_cfg.mp_cfg.KEY=VALUE"),
        ("env_cfg.dist_cfg.backend", "ncll", "did you mean 'nccl'"),
        ("env_cfg.dist_cfg.backendd", "nccl", "did you mean 'backend'"),
        ("env_cfg.dist_cfg", 5, "env_cfg.dist_cfg.KEY=VALUE"),
        ("env_cfg", None, "env_cfg.KEY=VALUE"),
        ("train_cfg.val_begin", -1, "give 0 or more"),
        ("optim_wrapper.accumulative_counts", 0, "give 1 or more"),
        (
            "optim_wrapper.constructor",
            "MergedGroupConstructor",
            "not registered; did you mean .MergedGroupsConstructor",
        ),
        ("optim_wrapper.optimizer.type", "AdamWW", "not registered; did you mean 'AdamW'"),
        ("optim_wrapper.clip_grad.max_norm", 0, "more than 0, or optim_wrapper.clip_grad=None to"),
        ("optim_wrapper.clip_grad.type", "foo", "give norm or value"),
        ("auto_scale_lr.base_batch_size", 0, "give 1 or more"),
        ("param_scheduler.0.start_factor", 0, "give more than 0"),
        ("param_scheduler.0.begin", -1, "give 0 or more"),
        ("param_scheduler.1.eta_min", -1e-4, "is -0.0001; give 0 or more"),
        ("param_scheduler.0", dict(type="ExponentialLR", gamma=-0.5), "give 0 or more"),
        ("val_dataloader", [dict(batch_size=1)], "is a list; give dict.KEY"),
        ("optim_wrapper.optimizer", ["type:AdamW"], "is a list; give dict.KEY"),
        ("sync_bn", "foo", "give torch, mmcv or None"),
        ("val_evaluator.0.collect_device", "tpu", "give cpu, gpu or npu"),
        (f"{LOADER}.prefetch_factor", 0, "give 1 or more"),
        (f"{LOADER}.timeout", -1, "give 0 or more"),
        (f"{LOADER}.collate_fn", dict(type="pseudo"), "'pseudo', which is not registered"),
        ("custom_hooks", {"0": dict(type="Foo")}, "has settings by name; give a list"),
        # values that Python takes for others
        ("train_cfg.max_iters", True, "IterBasedTrainLoop takes a whole number"),
        (f"{LOADER}.batch_size", True, "DataLoader takes a whole number"),
        ("default_hooks.checkpoint.out_dir", 5, "ExactCheckpointHook takes a text"),
        # a model of nothing, a loss that is to grow
        (f"{HEAD}.num_queries", 0, "give 1 or more"),
        (f"{HEAD}.feedforward_channels", 0, "give 1 or more"),
        ("model.criterion.prompt_weight", -1, "give 0 or more"),
        ("model.criterion.prompting.acp_weight", float("nan"), "give 0 or more"),
        # what mmengine takes as it is
        ("find_unused_parameters", "abc", "is 'abc'; give True or False"),
        ("find_unused_parameters", 3, "give True or False"),
        ("randomness.deterministic", 2, "give True or False"),
        ("randomness.diff_rank_seed", 0.5, "give True or False"),
        ("env_cfg.cudnn_benchmark", 2, "give True or False"),
        ("val_cfg.fp16", 2, "give True or False"),
        (f"{LOADER}.pin_memory", 2, "give True or False"),
        (f"{LOADER}.persistent_workers", None, "give True or False"),
        (f"{LOADER}.drop_last", None, "give True or False"),
        (f"{LOADER}.sampler", None, "is None: every process .*type='InfiniteDrawSampler'"),
        ("val_dataloader.sampler", None, "is None: every process .*'DefaultSampler', shuffle=F"),
        (f"{LOADER}.num_batch_per_epoch", 0, "give 1 or more"),
        (f"{LOADER}.dataset.max_refetch", -1, "give 0 or more"),
        (f"{RULES}.norm_decay_mult", -1, "give 0 or more"),
        (f"{RULES}.custom_keys.backbone.lr_mult", -0.1, "give 0 or more"),
        ("model.data_preprocessor.seg_pad_val", 300, "is 300; give a whole number from 0 to 255"),
        ("model.data_preprocessor.seg_pad_val", -1, "is -1; give a whole number from 0 to 255"),
        ("model.data_preprocessor.size_divisor", 0, "give 1 or more"),
        (
            f"{LOADER}.dataset.pipeline",
            [dict(type="Pad", size=(9, 9), pad_val=dict(img=0, seg=256))],
            ".0.pad_val.seg is 256; give a whole number from 0 to 255",
        ),
        ("load_from", True, "is True; give a text, or None"),
        ("load_from", "", "is ''; give a text, or None"),
        ("work_dir", 5, "is 5; give a text"),
        ("experiment_name", 5, "is 5; give a text"),
        # pictures of no size
        (f"{LOADER}.dataset.pipeline", [dict(type="Resize", scale=(0, 9))], ".0.scale.0 is 0; g"),
        (f"{LOADER}.dataset.pipeline", [dict(type="Resize", scale=-5)], ".0.scale is -5; give 1"),
        (f"{LOADER}.dataset.pipeline", [dict(type="Resize", scale_factor=0.0)], "more than 0"),
        (f"{LOADER}.dataset.pipeline", [dict(type="RandomCrop", crop_size=(5, -1))], "give 1 or"),
        # what nothing stands in for
        ("randomness", None, "is None, and nothing stands in for it"),
        (f"{LOADER}.batch_size", None, "is None, and nothing stands in for it"),
        (f"{LOADER}.dataset", None, "is None, and nothing"),
        ("optim_wrapper.optimizer", None, "is None, and nothing"),
        ("train_cfg.max_iters", None, "is None, and nothing"),
        ("train_cfg.val_interval", None, "is None, and nothing"),
        ("default_hooks.logger.interval", None, "is None, and nothing"),
        # a value in place of settings
        ("train_cfg", 5, "train_cfg.KEY=VALUE"),
        (f"{LOADER}.dataset", "stamps", f"{LOADER}.dataset.KEY=VALUE"),
        ("custom_hooks", 5, "custom_hooks.KEY=VALUE"),
        ("default_hooks", "none", "default_hooks.KEY=VALUE"),
        ("model", 5, "model.KEY=VALUE"),
    ],
)
def test_settings_are_checked_before_anything_is_built(key: str, value: Any, sentence: str) -> None:
    shown = key.rpartition(".")[0] if "no type" in sentence or "'optimzer'" in sentence else key
    with pytest.raises(ConfigError, match=rf"^{re.escape(shown)}\b.*{sentence}"):
        read_config(STAMPS, {key: value}, read=read_once)


def test_what_a_part_takes_is_left_alone() -> None:
    settings = {
        "optim_wrapper.optimizer.betas": [0.8, 0.9],
        f"{RULES}.custom_keys.backbone.betas": [0.8, 0.9],  # goes to the optimiser
        "optim_wrapper.accumulative_counts": 2,
        "train_cfg.max_iters": 1e3,  # a whole number, written as on the command line
        "default_hooks.timer.priority": "LOW",
        f"{HEAD}.num_heads": 4,
        "randomness.seed": None,
        f"{LOADER}.num_batch_per_epoch": 3,
    }
    assert read_config(STAMPS, settings, read=read_once).optim_wrapper.accumulative_counts == 2


def test_what_is_deterministic_needs_no_seed() -> None:
    cfg = read_config(AVSS, {"randomness.deterministic": True}, read=read_once)
    assert cfg.randomness == dict(seed=None, deterministic=True)


def build(cfg: Config) -> None:
    """As a run does, in its order, without data that lie in files."""
    DATASETS.build(cfg.train_dataloader.dataset)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    for scheduler in cfg.param_scheduler:
        PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer))
    for hook in cfg.default_hooks.values():
        HOOKS.build(hook)


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("optim_wrapper.type", "OptimWraper", "not registered; did you mean 'OptimWrapper'"),
        ("optim_wrapper.optimizer.betas", [2, 3], r"betas=\[2, 3\].*Invalid beta parameter"),
        (f"{LOADER}.dataset.type", "StampDataset", "did you mean 'StampsDataset'"),
        (f"{LOADER}.dataset.pipeline.0.type", "Compose_", "'Compose_', which is not registered"),
        ("param_scheduler.0.type", "LinearLRR", "did you mean 'LinearLR'"),
        ("param_scheduler.0.powerr", 1, "LinearParamScheduler takes no 'powerr'; it takes"),
        ("param_scheduler.0.end", -5, "end=-5.*end should be larger than begin"),
        ("default_hooks.logger.type", "LogHook", "did you mean 'LoggerHook'"),
        ("model.type", "AVSegmentorr", "did you mean 'AVSegmentor'"),
        ("model.backbone.type", "MobileNetV22", "did you mean 'MobileNetV2'"),
        ("model.backbone.type", "mmdet.Mobile", "'mmdet.Mobile', which is not registered"),
        ("model.backbone.type", "mmpretrain.ConvNeXt", "package mmpretrain is not installed"),
        ("model.backbone.out_indices", "abc", "out_indices='abc'.*must in range"),
        ("model.backbone.init_cfg.type", "Pretraind", "did you mean 'Pretrained'"),
        (f"{HEAD}.num_encoder_layers", -1, "num_encoder_layers=-1.*index"),
        (f"{HEAD}.classifier.type", "GMMClasifier", "did you mean 'GMMClassifier'"),
        ("model.criterion.mixture.bank_siez", 5, "MixtureFitting takes no .*'bank_size'"),
        ("model.criterion.prompting.acp_wieght", 5, "PromptedPath takes no .*'acp_weight'"),
    ],
)
def test_what_a_part_raises_is_told_with_its_place(key: str, value: Any, sentence: str) -> None:
    init_default_scope("mmseg")
    cfg = read_config(STAMPS, {"model.audio_backbone.init_cfg": None, key: value}, read=read_once)
    if not key.startswith("model.backbone.init_cfg"):
        cfg.model.backbone.init_cfg = None
    shown = key.rpartition(".")[0]
    with (
        pytest.raises(ConfigError, match=rf"^{re.escape(shown)}\b.*{sentence}") as told,
        built_from(cfg),
    ):
        build(cfg)
    assert "\n" not in str(told.value)


class _Loop(BaseLoop):
    def run(self) -> None:
        self.runner.fail()


def test_only_building_is_told_so() -> None:
    cfg = Config(dict(model=dict(type="M"), work_dir="w"))
    with pytest.raises(ZeroDivisionError), built_from(cfg):
        _ = 1 / 0  # a fault of this code

    runner = Runner.__new__(Runner)
    runner.fail = lambda: [][1]  # type: ignore[attr-defined]
    loop = _Loop.__new__(_Loop)
    loop._runner = runner
    with pytest.raises(IndexError), built_from(cfg):
        loop.run()

    runner._has_loaded, runner._resume, runner._load_from = False, True, "odd.pth"
    runner.resume = lambda _: {}["message_hub"]  # type: ignore[method-assign]
    cfg.load_from = "odd.pth"
    odd = "odd.pth: it can't be taken up .*'message_hub'"
    with pytest.raises(CheckpointError, match=odd), built_from(cfg):
        runner.load_or_resume()


@pytest.mark.parametrize(
    ("error", "told"),
    [(RuntimeError("of a hook"), "of a hook"), (AssertionError(), "AssertionError in .*raising")],
)
def test_what_has_no_type_is_told_with_its_place(
    error: Exception, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of the config that functions of mmengine read, and parts by the class that raises."""
    init_default_scope("mmseg")
    cfg = read_config(STAMPS)  # imports the hooks

    def raising(self: Any, runner: Runner) -> None:
        raise error

    monkeypatch.setattr(HOOKS.get("StabilityHook"), "before_run", raising)
    with (
        pytest.raises(ConfigError, match="^activation_checkpointing can't be built: .*'nothing'"),
        built_from(cfg),
    ):
        turn_on_activation_checkpointing(torch.nn.Module(), ["nothing"])
    runner = Runner.__new__(Runner)
    runner._hooks = [HOOKS.build(cfg.default_hooks.stability)]
    with (
        pytest.raises(ConfigError, match=f"^default_hooks.stability can't be .*: {told}"),
        built_from(cfg),
    ):
        runner.call_hook("before_run")


def test_a_run_is_whole() -> None:
    whole = dict(val_dataloader={}, val_cfg={}, val_evaluator=[], model={})
    check_together(whole)
    check_together({**whole, **dict.fromkeys(("val_dataloader", "val_cfg", "val_evaluator"))})
    with pytest.raises(ConfigError, match="^val_dataloader, val_evaluator: given without val_cfg;"):
        check_together({**whole, "val_cfg": None})


@pytest.mark.parametrize(
    ("part", "missing"),
    [
        (dict(train_dataloader={}), "dataset and no batch_size and no sampler; .*dict.dataset="),
        (dict(train_dataloader=dict(dataset={}, sampler={}, drop_last=True)), "batch_size; "),
        (dict(train_dataloader=dict(dataset={}, batch_size=2, drop_last=True)), "sampler; "),
        (dict(train_dataloader=dict(dataset={}, batch_sampler=dict(type="B"))), ""),
        (dict(val_dataloader={}), "dataset and no sampler; "),
        (dict(test_dataloader=dict(dataset={}, sampler={})), ""),
        (dict(optim_wrapper=dict(type="AmpOptimWrapper")), "optimizer; "),
        (dict(optim_wrapper=dict(constructor="Own", sound={})), ""),
        (dict(val_evaluator={}), "type; "),
        (dict(val_evaluator=[]), ""),
        (dict(train_cfg={}), "max_iters or max_epochs; .*dict.max_iters="),
        (dict(train_cfg=dict(type="EpochBasedTrainLoop", val_begin=2)), "max_epochs; "),
        (dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=2)), ""),
        (dict(train_cfg=dict(type="Own")), ""),
    ],
)
def test_a_part_is_whole(part: dict[str, Any], missing: str) -> None:
    if missing:
        with pytest.raises(ConfigError, match=f"^{next(iter(part))} has no {missing}"):
            check_whole(part)
    else:
        check_whole(part)


def test_an_entry_of_a_list_is_no_plain_value() -> None:
    with pytest.raises(ConfigError, match=r"vis_backends\.0: an entry of a list .*KEY\.0\.NAME"):
        read_config(STAMPS, {"visualizer.vis_backends.0": "LocalVisBackend"}, read=read_once)
