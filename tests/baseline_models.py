"""Models of the methods to compare with, with random weights."""

from typing import Any

from config_leaves import BASELINES
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import nn


def build(config: str, **criterion: Any) -> nn.Module:
    """The model of a config with random weights, in evaluation mode."""
    init_default_scope("mmseg")
    settings = Config.fromfile(BASELINES / f"{config}.py").model
    settings.backbone.init_cfg = settings.audio_backbone.init_cfg = None
    settings.criterion.update(criterion)
    model = MODELS.build(settings)
    for part in (model, *model.modules()):
        part.train(False)
    return model
