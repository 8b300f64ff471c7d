"""What was not heard does not sound: classes that TD-A did not name are left out at test."""

import torch
from torch import Tensor


def without_unheard(last: Tensor, first: Tensor, least: float) -> Tensor:
    """Logits in which no query names a foreground class that no query has heard.

    The layer after TD-A has not seen the picture, so that its posterior is what was heard, while
    later layers take one object for another by its looks.

    Args:
        last: Class logits of the layer that masks are merged by, (B, N, C + 1); class 0 is the
            background, the last one no-object.
        first: Those of the layer after TD-A, (B, N, C + 1).
        least: Probability that a class's likeliest query must have there; 0 leaves all as it is.

    Returns:
        Tensor: (B, N, C + 1), -inf for classes that were not heard.
    """
    heard = first.float().softmax(-1).amax(-2, keepdim=True) >= least
    classes = torch.arange(last.shape[-1], device=last.device)
    foreground = (classes > 0) & (classes < last.shape[-1] - 1)
    return last.masked_fill(foreground & ~heard, -torch.inf)
