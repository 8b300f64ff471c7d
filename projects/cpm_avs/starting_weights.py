"""Weights that a network begins with: refused where none of them is one of the network's."""

from typing import Any, cast

from mmengine.model import is_model_wrapper
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import nn

from .safe_checkpoint import CheckpointError, last_read

_load_state_dict = mmengine_checkpoint.load_state_dict


def refuse_foreign_weights() -> None:
    """Have mmengine refuse what fits nothing: it would warn, and go on with random weights.

    That is of ``load_from`` and of ``init_cfg``. What fits in part is loaded so, and the log lists
    the rest.
    """
    mmengine_checkpoint.load_state_dict = _load_what_fits


def _load_what_fits(
    network: nn.Module, weights: dict[str, Any], *args: Any, **options: Any
) -> None:
    bare = cast(nn.Module, network.module) if is_model_wrapper(network) else network
    own = bare.state_dict()
    shapes = {key.removeprefix("module."): getattr(weights[key], "shape", None) for key in weights}
    if not any(key in own and own[key].shape == shape for key, shape in shapes.items()):
        raise CheckpointError(
            f"{last_read()}: none of its weights ({_some(shapes)}) fits {type(bare).__name__} "
            f"({_some(own)}), which would begin with random ones. Name a file of this network; of "
            "a part of a file, init_cfg.prefix says which"
        )
    _load_state_dict(network, weights, *args, **options)


def _some(names: Any) -> str:
    first = [*names][:2]
    return ", ".join([*first, "..."][: len(names)] or ["it has none"])
