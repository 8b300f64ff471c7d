"""Records that cross the rooms of the project.

Shorthand: B batch, Q queries, D embedding width, C classes with background, h w mask size,
T F spectrogram frames and bins, Ta Fa audio lattice at stride 16.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class VisualFeatures:
    """What the decoder reads of an image.

    Attributes:
        mask_features: Pixel embedding u~_v at stride 4, (B, D, h, w).
        memories: Maps at strides 32, 16 and 8, each (B, D, h_l, w_l).
    """

    mask_features: Tensor
    memories: tuple[Tensor, ...]

    @cached_property
    def shrunk(self) -> list[Tensor]:
        """Mask features at the size of each memory, (B, D, h_l * w_l), without gradient."""
        features = self.mask_features.detach()
        return [
            F.interpolate(
                features, memory.shape[-2:], mode="bilinear", align_corners=False
            ).flatten(2)
            for memory in self.memories
        ]


@dataclass(frozen=True)
class SoundMap:
    """A map of an audio backbone, whose cells may lie on a frequency axis of the network's own.

    Attributes:
        cells: (B, C, T_l, M_l).
        to_linear: Interpolation to the F_l cells of linear frequency, (M_l, F_l), the columns of
            which sum to 1; None where the cells lie there.
    """

    cells: Tensor
    to_linear: Tensor | None = None

    def linear(self, project: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """The map at linear frequencies, (B, C, T_l, F_l).

        Args:
            project: A convolution of 1x1, made before there are more cells: what a layer that is
                linear in each cell gives, it gives of the interpolated map, too.
        """
        values = self.cells if project is None else project(self.cells)
        if self.to_linear is None:
            return values
        # With channels last, and so is the result: the layout in which convolutions are fastest.
        spread = self.to_linear.T @ values.permute(0, 2, 3, 1)
        return spread.permute(0, 3, 1, 2)

    def chunk(self, parts: int) -> list["SoundMap"]:
        """Split the batch into equal parts."""
        return [replace(self, cells=cells) for cells in self.cells.chunk(parts)]


@dataclass(frozen=True)
class AudioFeatures:
    """What the decoder reads of a sound.

    Attributes:
        levels: Backbone maps of the (T, F) lattice, finest first; the last is u_a at stride 16.
        memory: u_a projected to the decoder's width, (B, D, Ta, Fa).
        position: Code of where each cell's sound comes from, (B, D / 2, Ta, Fa); None where a model
            does not ask.
    """

    levels: tuple[SoundMap, ...]
    memory: Tensor
    position: Tensor | None = None


@dataclass(frozen=True)
class Prompts:
    """Class-conditional prompts, K an image, and the mixed sound that they listen to.

    Attributes:
        content: In the scale of layer-normed queries, (B, K, D).
        position: (B, K, D).
        padding: Where an image has fewer prompts than K, (B, K) bool.
        audio: Features of the mixed sound.
    """

    content: Tensor
    position: Tensor
    padding: Tensor
    audio: AudioFeatures


@dataclass(frozen=True)
class ClipFrames:
    """Which frames of a batch follow one another, for a decoder that looks back over them.

    Attributes:
        lengths: Frames of each clip; the clips of a batch follow one another, B frames together.
        past: What came before the first clip's: of each place where the decoder looks back, the
            queries of the P frames before, oldest first, (P, Q, D). Empty for a clip's beginning.
    """

    lengths: tuple[int, ...]
    past: tuple[Tensor, ...] = ()


def clip_lengths(metas: Sequence[Mapping[str, Any]]) -> list[int]:
    """Frames of each clip of a batch, whose frames are in their order.

    Args:
        metas: Metainfo of every frame.

    Raises:
        ValueError: A clip is not whole.
    """
    lengths: list[int] = []
    while (done := sum(lengths)) < len(metas):
        lengths.append(metas[done].get("clip_length", 1))
    if sum(lengths) != len(metas):
        raise ValueError(
            f"the batch's last clip has {lengths[-1]} frames, of which "
            f"{len(metas) - sum(lengths[:-1])} are there; use collate_fn=dict(type='clip_collate')"
        )
    return lengths


@dataclass(frozen=True)
class DecoderOutput:
    """Predictions of all supervised layers, or of the first and last: index 0 is after TD-A.

    Masks are drawn where they are asked for: of 10 layers and 100 queries a prediction needs those
    of one layer, and a loss those few that are matched.

    Attributes:
        embeddings: Normalised queries q~, (layers, B, Q, D).
        cls_logits: Unnormalised log-posteriors, (layers, B, Q, C + 1); the last class is no-object.
        mask_embeddings: What a mask's logit at a cell is the product of, with the features there,
            (layers, B, Q, E); E is D, and with ``stereo_position``, for the places, 3 D / 2.
        mask_features: At stride 4, (B, E, h, w).
        timed: Of each place where the decoder looks back, what the frames to come will look at,
            (B, Q, D); see ``ClipFrames``. Empty for a decoder that sees every frame by itself.
    """

    embeddings: Tensor
    cls_logits: Tensor
    mask_embeddings: Tensor
    mask_features: Tensor
    timed: tuple[Tensor, ...] = ()

    def part(self, queries: slice) -> "DecoderOutput":
        """Predictions of some of the queries."""
        return DecoderOutput(
            self.embeddings[:, :, queries],
            self.cls_logits[:, :, queries],
            self.mask_embeddings[:, :, queries],
            self.mask_features,
        )

    def masks(self, layer: int) -> Tensor:
        """Mask logits of one layer, (B, Q, h, w)."""
        return torch.einsum("bqd,bdhw->bqhw", self.mask_embeddings[layer], self.mask_features)


@dataclass(frozen=True)
class DenseOutput:
    """Predictions of a head that gives every pixel its classes, without queries.

    Attributes:
        logits: Of the classes at the head's own stride, (B, C, h, w).
        features: What the method's own losses read beside them; the head says what it is.
    """

    logits: Tensor
    features: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class GaussianState:
    """Parameters of one Gaussian mixture per class (eq. 2); K classes with no-object.

    Attributes:
        log_weights: Logarithms of pi, (K, M); each row's exponentials sum to 1.
        means: (K, M, D).
        covariances: Variances (K, M, D), or full matrices (K, M, D, D).
    """

    log_weights: Tensor
    means: Tensor
    covariances: Tensor
