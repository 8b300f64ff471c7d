"""Ratio masks from the classes' names alone: what audio prompting scores without hearing (eq. 5).

Eq. 5 predicts sigmoid(sum over k of m_k^a). Here m_k^a is one logit for each class and frequency,
the same in every frame of every sound: how far class k is above other classes' noise there.

Shorthand: N samples, B batch, C classes with background, T F spectrogram frames and bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

#: Penalty of squared logits, where a sample counts 1: a class that seldom occurs stays near 0.5.
SHRINKAGE = 0.1


def deaf_ratio(logits: Tensor, sounding: Tensor, frames: int) -> Tensor:
    """The ratio mask of classes, whatever they sound like.

    Args:
        logits: Of each class and frequency, (C, F).
        sounding: Classes to prompt in each image, (B, C) bool.
        frames: T.

    Returns:
        Tensor: (B, T, F) in [0, 1].
    """
    ratio = (sounding.to(logits) @ logits).sigmoid()
    return ratio.unsqueeze(1).expand(-1, frames, -1)


def fit_deaf_logits(sounding: Tensor, ratio: Tensor, share: Tensor) -> Tensor:
    """Logistic regression of the ratio on the classes, for each frequency by itself.

    Cross-entropy has its minimum at the mean ratio, as the squared error of eq. 5 has, and unlike
    that error it is convex in the logits: the answer does not depend on a start or a step size.

    Args:
        sounding: Classes of each sample, (N, C) bool.
        ratio: a_i / a_p, mean over the frames where it is defined, (N, F).
        share: Of these frames in all, (N, F), in [0, 1].

    Returns:
        Tensor: (C, F) float32 on the CPU; 0 for a class that no sample has.
    """
    classes, ratio, share = (x.cpu().double() for x in (sounding, ratio, share))
    logits = torch.zeros(classes.shape[1], ratio.shape[1], dtype=torch.double, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        entropy = F.binary_cross_entropy_with_logits(
            classes @ logits, ratio, weight=share, reduction="sum"
        )
        total = entropy + SHRINKAGE * logits.square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return logits.detach().float()
