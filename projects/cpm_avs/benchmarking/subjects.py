"""Models that are compared: those of the project's configs, and mmseg's own Mask2Former.

All have random weights, which take the same time as trained ones.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mmseg
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS

from ..inference.predictor import autocast
from ..inference.preparation import Preparation
from ..inference.recorded import RecordedSegmentor
from ..launch import built_from
from ..model_fit import check_backbones
from .batches import made_batch

_AMP_NAMES = {"fp16": "float16", "bf16": "bfloat16"}
MMSEG = "mask2former_r50_8xb2-160k_ade20k-512x512"


@dataclass(frozen=True)
class Subject:
    """A model, and what it is fed with.

    Attributes:
        name: Of its config.
        model: On the device.
        optimiser: As its config has it, in the precision that is measured.
        batch: Makes a batch of a size (H, W) and a number of samples.
        precision: 'fp32', 'fp16' or 'bf16'.
        device: Where the model is.
    """

    name: str
    model: BaseModel
    optimiser: OptimWrapper
    batch: Callable[[tuple[int, int], int], dict[str, Any]]
    precision: str
    device: str

    def predict(self, batch: dict[str, Any]) -> list:
        """A prediction, from what a loader gives to class maps."""
        self.model.eval()
        with torch.inference_mode(), autocast(self.device, self.precision):
            if isinstance(self.model, RecordedSegmentor):  # has no scores of all classes
                return self.model.best_step(batch)
            return self.model.test_step(batch)

    def train(self, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        """A training step, the optimiser's included; EM, which has a step of its own, is not."""
        self.model.train()
        # mmengine's wrapper of the optimiser has mixed precision on a GPU alone.
        with autocast(self.device, self.precision if self.device == "cpu" else "fp32"):
            return self.model.train_step(batch, self.optimiser)

    @property
    def parameters(self) -> int:
        """Learned numbers."""
        return sum(one.numel() for one in self.model.parameters())


def of_config(
    name: str, cfg: Config, *, device: str, precision: str = "fp32", training: bool = True
) -> Subject:
    """The model of one of the project's configs; without what only training needs if not for it.

    Raises:
        ConfigError: A part of it can't be built, or does not fit the others.
    """
    cfg = deepcopy(cfg)
    if not training:
        cfg.model.criterion = None
    for part in (cfg.model.backbone, cfg.model.audio_backbone):
        part.pop("init_cfg", None)
    with built_from(cfg):
        preparation = Preparation.from_config(cfg)
        model, optimiser = _build(cfg, device, precision)
        check_backbones(model)

    channels = cfg.model.audio_backbone.get("in_channels", preparation.channels)
    if getattr(model, "hears_places", False):  # its backbone hears the mean of two
        channels = preparation.channels

    def batch(size: tuple[int, int], count: int) -> dict[str, Any]:
        return made_batch(
            size=size,
            count=count,
            num_classes=cfg.model.decode_head.num_classes,
            num_samples=preparation.num_samples,
            channels=channels,
        )

    return Subject(name, model, optimiser, batch, precision, device)


def mmseg_beside(cfg: Config, *, device: str, precision: str = "fp32") -> Subject:
    """The Mask2Former that mmseg ships, which sees the picture alone, with a config's backbone.

    Args:
        cfg: Whose image backbone and number of classes it gets.
        device: Where to.
        precision: As in ``Subject``.
    """
    shipped = Path(mmseg.__file__).parent / ".mim" / "configs" / "mask2former" / f"{MMSEG}.py"
    if not shipped.is_file():
        raise ValueError(f"{shipped} is missing: this mmseg came without its configs; install a "
                         "wheel of it to compare with it")  # fmt: skip
    theirs = Config.fromfile(shipped)
    head, ours = theirs.model.decode_head, cfg.model.decode_head
    theirs.model.backbone = dict(deepcopy(cfg.model.backbone), init_cfg=None)
    theirs.model.data_preprocessor.update(size=None, size_divisor=32)  # pictures of any size
    head.in_channels = ours.in_channels
    head.num_classes = ours.num_classes
    head.loss_cls.class_weight = [1.0] * ours.num_classes + [0.1]
    model, optimiser = _build(theirs, device, precision)

    def batch(size: tuple[int, int], count: int) -> dict[str, Any]:
        return made_batch(size=size, count=count, num_classes=ours.num_classes)

    return Subject("mmseg", model, optimiser, batch, precision, device)


def _build(cfg: Config, device: str, precision: str) -> tuple[BaseModel, OptimWrapper]:
    init_default_scope("mmseg")
    logger = MMLogger.get_current_instance()
    logger.setLevel("ERROR")  # the optimiser lists all that it treats apart
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(device)
    settings = dict(cfg.optim_wrapper)
    if precision != "fp32" and device != "cpu":
        settings.update(type="AmpOptimWrapper", dtype=_AMP_NAMES[precision], loss_scale="dynamic")
    return model, build_optim_wrapper(model, settings)
