"""Any config made small: a step of training and a prediction in a fraction of a second."""

import re
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.optim import build_optim_wrapper
from mmseg.registry import DATASETS
from photo_set import shared_photo_set
from tiny import SAMPLES, SIZE, build_tiny, predictions_of, quiet

# What has no gradient before the first step: the position of deformable attention, whose offsets
# start at weight 0, residuals of the audio ResNet, of TPAVI and of what looks back in time, which
# start at 0 and can leave it, the code of silence, where nothing is silent, and the shifts of
# delays, which go through a projection that starts at 0.
STILL_AT_FIRST = re.compile(
    r"decode_head\.stereo_position\.(silence_embed|delay_shift)|"
    r"decode_head\.pixel_decoder\.level_encoding|audio_backbone\.layer\d\.\d\.(conv|bn)\d|"
    r"decode_head\.attention\.\d\.(align|theta|phi|g|out\.0)\.|"
    r"decode_head\.decoder\.time\.layers\.\d\.(norm|in_proj|time_bias)"
)


#: Image backbones of hundreds of millions of numbers, made small, and the channels of their maps.
SMALL_EYES = {
    "mmdet.PyramidVisionTransformerV2": (
        dict(embed_dims=8, num_layers=[1, 1, 1, 1]),
        [8, 16, 40, 64],
    ),
    "SwinTransformer": (
        dict(embed_dims=16, depths=[2, 1, 1, 1], num_heads=[1, 2, 4, 8], window_size=4),
        [16, 32, 64, 128],
    ),
    "DINOv2": (dict(arch="small", num_layers=1), [384] * 4),
}
#: Data sets that need no file of a user's.
COMPOSED = ("StampsDataset", "ComposedDataset", "StampsClipFrames")


def frames_of(dataset: dict[str, Any]) -> dict[str, Any]:
    """The config of a set of frames, of which another one may make clips."""
    return dataset["dataset"] if dataset["type"] == "ClipDataset" else dataset


def shrink(cfg: Config, *, narrow: bool) -> Config:
    """A copy that trains in a fraction of a second.

    Args:
        cfg: Any of the configs.
        narrow: Take a small audio backbone beside ResNet, too: for rows that leave the backbones
            alone.
    """
    cfg = Config(cfg.to_dict())
    model = cfg.model
    for part in (model.backbone, model.audio_backbone, model.get("mask_classifier") or Config()):
        part.init_cfg = None
    if model.backbone.type == "ResNet":
        # An eighth of its channels, and of what the config says they are: that must be right.
        model.backbone.base_channels = 8
        model.decode_head.in_channels = [width // 8 for width in model.decode_head.in_channels]
    if narrow and model.backbone.type == "ResNet":
        channels = model.audio_backbone.get("in_channels", 1)
        model.audio_backbone = dict(type="TinyAudioBackbone", in_channels=channels)
    if model.backbone.type in SMALL_EYES:
        small, model.decode_head.in_channels = SMALL_EYES[model.backbone.type]
        model.backbone.update(small)
    if model.audio_backbone.type == "HTSAT":
        model.audio_backbone.update(embed_dims=16, depths=(2, 1, 1), num_heads=(1, 2, 4))
    model.decode_head.update(
        embed_dims=32, num_queries=6, num_encoder_layers=1, feedforward_channels=64,
        num_audio_layers=1, num_visual_layers=2,
    )  # fmt: skip
    if "set_loss" not in model.criterion:
        model.criterion.set_loss = dict(points=dict(type="uncertain", num_points=64))
    if model.criterion.mixture is not None:
        model.criterion.mixture.update(bank_size=32, max_per_push=8, min_samples=4)
    if frames_of(cfg.train_dataloader.dataset).type in COMPOSED:
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            frames = frames_of(loader.dataset)
            frames.update(image_size=SIZE, num_samples=SAMPLES, num_scenes=2, silent_prob=0.0)
            if frames.type == "StampsClipFrames":
                frames.update(num_frames=2)
            if frames.type == "ComposedDataset":
                frames.update(
                    data_root=shared_photo_set(cfg.model.decode_head.num_classes), plain_prob=0.0
                )
    return cfg


def train_a_step(model: torch.nn.Module, cfg: Config, batch: dict[str, Any]) -> dict[str, float]:
    """One step with the config's optimiser; the losses by name."""
    with quiet():
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in trained.items()}
    data = model.data_preprocessor(batch, True)
    total, losses = model.parse_losses(model(**data, mode="loss"))
    total.backward()
    # Distributed training waits forever for a gradient that never comes.
    assert all(value.grad is not None for value in trained.values())
    moved = {name for name, value in trained.items() if value.grad.any()}
    still = {name for name in trained.keys() - moved if not STILL_AT_FIRST.match(name)}
    assert not still, still
    optimizer.step()
    changed = {name for name, value in trained.items() if not value.equal(before[name])}
    parts = ["audio_decoder.", "decode_head."]
    for name in ("backbone", "audio_backbone"):  # unless all of its stages are frozen
        part = model.get_submodule(name)
        if cfg.model[name].get("frozen_stages", -1) <= max(getattr(part, "out_indices", [0])):
            parts.append(f"{name}.")
    assert all(any(name.startswith(part) for name in changed) for part in parts)
    return {name: value.item() for name, value in losses.items()}


def check_step_and_prediction(cfg: Config, batch: dict[str, Any]) -> None:
    model = build_tiny(cfg.model)
    model.train()
    losses = train_a_step(model, cfg, batch)
    assert all(torch.tensor(value).isfinite() for value in losses.values()), losses
    assert losses["loss"] > 0

    prompting = cfg.model.criterion.prompting or {}
    for name, prefix in (("acp", "loss_acp"), ("vcp", "vcp."), ("pcl", "loss_pcl")):
        computed = any(key.startswith(prefix) for key in losses)
        assert computed == (prompting.get(f"{name}_weight", 0) > 0), name
    assert (model.criterion.mixture is None) == (cfg.model.criterion.mixture is None)

    num_classes = cfg.model.decode_head.num_classes
    samples = predictions_of(model, batch)
    for sample in samples:
        assert sample.pred_sem_seg.data.shape == (1, SIZE, SIZE)
        assert sample.seg_logits.data.shape == (num_classes, SIZE, SIZE)
        predicted = sample.pred_sem_seg.data
        assert int(predicted.min()) >= 0 and int(predicted.max()) < num_classes

    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.dataset_meta = DATASETS.build(
        cfg.test_dataloader.dataset | dict(lazy_init=True)
    ).metainfo
    assert len(evaluator.dataset_meta["classes"]) == num_classes
    evaluator.process(data_samples=samples, data_batch=batch)
    items = sum(1 / sample.get("clip_length", 1) for sample in samples)
    scores = evaluator.evaluate(round(items))
    best = cfg.default_hooks.checkpoint.save_best
    # The best checkpoint is never chosen on a test set.
    tested = cfg.val_dataloader.dataset.get("split") == "test"
    assert best is None if tested else best in scores
