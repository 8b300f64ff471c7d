"""MobileNetV2 straight from its authors' state_dict: the twin that converted weights must match."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

# Stride of every block, features.1 to features.17.
STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)


def mobilenet_v2_features(state: Mapping[str, Tensor], image: Tensor) -> Tensor:
    """(B, 3, H, W) to the map of features.17, (B, 320, H / 32, W / 32), in evaluation mode."""

    def conv_norm(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        x = F.conv2d(
            x,
            weight,
            stride=stride,
            padding=weight.shape[-1] // 2,
            groups=x.shape[1] // weight.shape[1],
        )
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"])

    x = F.relu6(conv_norm(image, "features.0.0", "features.0.1", stride=2))
    for block, stride in enumerate(STRIDES, start=1):
        at = f"features.{block}.conv"
        y = x
        expands = f"{at}.6.weight" in state
        if expands:
            y = F.relu6(conv_norm(y, f"{at}.0", f"{at}.1"))
        depthwise = 3 if expands else 0
        y = F.relu6(conv_norm(y, f"{at}.{depthwise}", f"{at}.{depthwise + 1}", stride))
        y = conv_norm(y, f"{at}.{depthwise + 3}", f"{at}.{depthwise + 4}")
        x = x + y if y.shape == x.shape else y
    return x
