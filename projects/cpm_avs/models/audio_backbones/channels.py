"""Fits the first convolution of pretrained weights to another number of audio channels."""

from torch import Tensor


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
