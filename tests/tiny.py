"""A CPM model that trains a step in a fraction of a second, and batches for it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

import projects.cpm_avs
import projects.cpm_avs.training  # noqa: F401  (registers the criterion)
from projects.cpm_avs.models.spectrogram import compress

NUM_CLASSES = 3
NUM_QUERIES = 8
WIDTH = 32
SIZE = 64  # pixels a side
FRAMES = 32  # of the spectrogram
SAMPLES = 160 * FRAMES


@MODELS.register_module(force=True)
class TinyAudioBackbone(BaseModule):
    """Three strided convolutions in place of VGGish; maps at strides 4, 8 and 16."""

    out_channels = (8, 16, 32)
    out_strides = (4, 8, 16)

    def __init__(self, *, in_channels: int = 1) -> None:
        super().__init__()
        widths = (in_channels, *self.out_channels)
        self.stages = nn.ModuleList(
            nn.Conv2d(width, out, kernel, stride=stride, padding=kernel // 2)
            for width, out, kernel, stride in zip(
                widths, self.out_channels, (5, 3, 3), (4, 2, 2), strict=False
            )
        )

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        x = compress(specgram)
        outputs = []
        for stage in self.stages:
            x = stage(x).relu()
            outputs.append(x)
        return tuple(outputs)


class OneStepBackbone(nn.Module):
    """A convolution for each map, at strides 4, 8, 16 and 32, for graphs of what reads the maps.

    Args:
        channels: Of each.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(3, width, 4 << level, stride=4 << level)
            for level, width in enumerate(channels)
        )

    def forward(self, img: Tensor) -> tuple[Tensor, ...]:
        return tuple(conv(img) for conv in self.convs)


class OneStepDecoder(nn.Module):
    """In place of ``PixelDecoder``, whose graph of any size is in ``test_export.py``.

    Args:
        channels: Of the backbone's maps, finest first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in channels)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        fine, *memories = (conv(one) for conv, one in zip(self.convs, maps, strict=True))
        return fine, memories[::-1]


def _merge(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Override keys at any depth; a dict that names another type replaces the whole dict."""
    merged = dict(base)
    for key, value in overrides.items():
        old = merged.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        if nested and value.get("type", old.get("type")) == old.get("type"):
            value = _merge(old, value)
        merged[key] = value
    return merged


def tiny_model_cfg(**overrides: Any) -> dict[str, Any]:
    """Config of an ``AVSegmentor``: hidden 32, 1 + 2 layers, 8 queries, 3 classes, 64 px.

    Args:
        overrides: Merged in at any depth, as ``tiny_model_cfg(decode_head=dict(num_queries=4))``;
            a dict with a ``type`` of its own replaces the one that is there.
    """
    base = dict(
        type="AVSegmentor",
        data_preprocessor=dict(type="AVDataPreprocessor"),
        backbone=dict(
            type="ResNet",
            depth=18,
            base_channels=8,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            norm_cfg=dict(type="BN", requires_grad=False),
            norm_eval=True,
            style="pytorch",
        ),
        audio_backbone=dict(type="TinyAudioBackbone"),
        decode_head=dict(
            type="CPMHead",
            in_channels=[8, 16, 32, 64],
            num_classes=NUM_CLASSES,
            classifier=dict(type="GMMClassifier", num_components=2),
            embed_dims=WIDTH,
            num_queries=NUM_QUERIES,
            num_encoder_layers=1,
            feedforward_channels=64,
            num_audio_layers=1,
            num_visual_layers=2,
        ),
        criterion=dict(
            type="CPMCriterion",
            set_loss=dict(points=dict(type="uncertain", num_points=128)),
            mixture=dict(bank_size=32, max_per_push=8, min_samples=4),
            prompting=dict(acp_weight=1.0, vcp_weight=1.0, pcl_weight=1.0),
        ),
    )
    return _merge(base, overrides)


def linear_cfg(**criterion: Any) -> dict[str, Any]:
    """The tiny model with the linear classifier and no CPM path, the baseline of Table 4."""
    return tiny_model_cfg(
        decode_head=dict(classifier=dict(type="LinearClassifier")),
        criterion=dict(mixture=None, prompting=None, **criterion),
    )


def prompt_cfg(acp: float, vcp: float, pcl: float, **path: Any) -> dict[str, Any]:
    """The tiny model with weights of the three prompting losses, and arguments of the path."""
    prompting = dict(acp_weight=acp, vcp_weight=vcp, pcl_weight=pcl, **path)
    return tiny_model_cfg(criterion=dict(prompting=prompting))


@contextmanager
def quiet() -> Iterator[None]:
    """Only errors are logged: mmengine writes lines for each parameter it sets or optimises."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        yield
    finally:
        logger.setLevel(level)


def build_tiny(cfg: Mapping[str, Any] | None = None, *, seed: int = 0) -> nn.Module:
    """Build and initialise a model; the same seed gives the same parameters."""
    init_default_scope("mmseg")  # as the runner does
    torch.manual_seed(seed)
    model = MODELS.build(deepcopy(dict(cfg or tiny_model_cfg())))
    with quiet():
        model.init_weights()
    return model


def with_first_blocks(model: nn.Module) -> nn.Module:
    """The model with one block a stage of its ResNet: what a graph of more has is more of the same.

    The fewer, the sooner the graph is there.
    """
    for name in model.backbone.res_layers:
        del model.backbone.get_submodule(name)[1:]
    return model


def with_one_step_maps(model: nn.Module) -> nn.Module:
    """The tiny model with a convolution in place of what comes before the decoder's layers."""
    channels = (8, 16, 32, 64)
    model.backbone = OneStepBackbone(channels)
    model.decode_head.pixel_decoder = OneStepDecoder(channels)
    return model


def tiny_batch(
    batch_size: int = 2,
    *,
    size: int | Sequence[tuple[int, int]] = SIZE,
    num_classes: int = NUM_CLASSES,
    channels: int = 1,
    silent: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """A collated batch as the data loader gives it: image b shows and sounds class 1 + b mod (C-1).

    Args:
        batch_size: B.
        size: Pixels a side, or (H, W) of each image.
        num_classes: C.
        channels: A.
        silent: Nothing sounds: masks are all background and waveforms 0.
        seed: Of images and sounds.
    """
    rng = np.random.default_rng(seed)
    sizes = [(size, size)] * batch_size if isinstance(size, int) else list(size)
    images, waveforms, samples = [], [], []
    for index, (height, width) in enumerate(sizes):
        label = 1 + index % (num_classes - 1)
        image = rng.integers(0, 60, (3, height, width))
        mask = np.zeros((height, width), dtype=np.int64)
        time = np.arange(SAMPLES) / 16_000
        waveform = np.zeros((channels, SAMPLES))
        if not silent:
            box = (slice(height // 8, height // 2), slice(width // 8, 5 * width // 8))
            mask[box] = label
            image[(slice(None), *box)] += 60 * label
            tone = np.sin(2 * np.pi * 700 * label * time + rng.random())
            waveform = np.stack([0.5 * tone] * channels) + 0.01 * rng.normal(size=waveform.shape)
        meta = dict(
            img_path=f"{index}.png",
            clip_id=f"clip{index}",
            frame_index=0,
            ori_shape=(height, width),
            img_shape=(height, width),
        )
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=torch.from_numpy(mask)[None])
        images.append(torch.from_numpy(image.astype(np.uint8)))
        waveforms.append(torch.from_numpy(waveform.astype(np.float32)))
        samples.append(sample)
    return dict(inputs=dict(img=images, waveform=waveforms), data_samples=samples)


def losses_of(model: nn.Module, batch: dict[str, Any], *, seed: int = 0) -> dict[str, Tensor]:
    """Losses of one batch, as ``train_step`` computes them; the seed is that of all draws."""
    torch.manual_seed(seed)
    data = model.data_preprocessor(deepcopy(batch), True)
    return model(**data, mode="loss")


def predictions_of(model: nn.Module, batch: dict[str, Any]) -> list[SegDataSample]:
    """Predictions of one batch, as ``test_step`` computes them."""
    model.eval()
    with torch.no_grad():
        return model.test_step(deepcopy(batch))


def same_predictions(first: list, second: list) -> bool:
    """Whether samples with predictions agree to the bit."""
    return all(
        torch.equal(a.seg_logits.data, b.seg_logits.data)
        and torch.equal(a.pred_sem_seg.data, b.pred_sem_seg.data)
        and a.pred_audio_classes == b.pred_audio_classes
        for a, b in zip(first, second, strict=True)
    )


def clip_batch(frames: int, *, seed: int = 0, length: int | None = None):
    """Frames of one clip after another, each of ``length``: all of them by default."""
    batch = tiny_batch(frames, seed=seed)
    for sample in batch["data_samples"]:
        sample.set_metainfo(dict(clip_length=length or frames))
    return batch


def stereo_cfg(kind="StereoPosition", **overrides):
    """The model with a code of where a sound comes from."""
    return tiny_model_cfg(
        **overrides,
        data_preprocessor=dict(cross_spectrum=kind == "PhasePosition"),
        decode_head=dict(stereo_position=dict(type=kind)),
    )


def magnitudes(*shape: int) -> Tensor:
    """A spectrogram of noise, the same each time."""
    return 10 * torch.rand(*shape, generator=torch.Generator().manual_seed(0))
