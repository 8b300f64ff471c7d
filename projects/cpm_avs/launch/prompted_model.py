"""A trained model with its training part, for tools that look at how it prompts."""

from typing import Any

from mmengine.config import Config
from mmseg.registry import MODELS

from ..model_fit import check_backbones
from ..safe_checkpoint import CheckpointError, check_fit, load_safely, weights_of


def load_prompted(cfg: Config, checkpoint: str) -> Any:
    """The segmentor, at evaluation.

    Args:
        cfg: Its config.
        checkpoint: File that training wrote.

    Raises:
        CheckpointError: One of the two has no audio prompting.
    """
    if cfg.model.get("criterion") is None:
        raise CheckpointError("the config has no criterion, and so no audio prompting")
    model = MODELS.build(cfg.model)
    check_backbones(model)
    path = model.criterion.prompted_path
    if path is None or path.audio_mask_head is None:
        raise CheckpointError("the config trains without audio prompting; there is nothing to draw")
    state = weights_of(load_safely(checkpoint), checkpoint)
    if not any(key.startswith("criterion.prompted_path.") for key in state):
        raise CheckpointError(
            f"{checkpoint}: the training part was taken out. Give the file that training wrote."
        )
    check_fit(model, state, checkpoint)
    model.load_state_dict(state, strict=False)
    return model.eval()
