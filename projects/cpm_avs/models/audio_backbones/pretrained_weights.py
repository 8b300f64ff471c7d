"""What pretrained weights bring that a network lacks: other input channels, more layers."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn


def adapt_input_channels(weight: Tensor, in_channels: int) -> Tensor:
    """Spread the summed kernel evenly over the new channels.

    An input whose channels are equal then gets the answer that the pretrained network gives to an
    image with equal channels: a grey image for ImageNet's three, the mono sound for one.

    Args:
        weight: (out, in, kh, kw).
        in_channels: The number wanted.

    Returns:
        (out, in_channels, kh, kw).
    """
    if weight.shape[1] == in_channels:
        return weight
    return (weight.sum(1, keepdim=True) / in_channels).repeat(1, in_channels, 1, 1)


def spread_over_channels(conv: Any) -> None:
    """Let a network's first ``nn.Conv2d`` load a kernel for any number of input channels."""

    def spread(conv: nn.Conv2d, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
        key = f"{prefix}weight"
        if key in state_dict:
            state_dict[key] = adapt_input_channels(state_dict[key], conv.in_channels)

    conv.register_load_state_dict_pre_hook(spread)


def leave_out(module: nn.Module, children: Iterable[int | str]) -> None:
    """Pass over weights of these children, which a whole network's file has and a part lacks."""
    names = tuple(children)

    def drop(_: nn.Module, state_dict: dict[str, Tensor], prefix: str, *__: Any) -> None:
        lacking = tuple(f"{prefix}{name}." for name in names)
        for key in [key for key in state_dict if key.startswith(lacking)]:
            del state_dict[key]

    module.register_load_state_dict_pre_hook(drop)
