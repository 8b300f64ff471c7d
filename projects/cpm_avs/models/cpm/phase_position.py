"""The positional code of stereo sound's tokens by level and by phase.

Shorthand: B batch, T F spectrogram frames and bins, Ta Fa audio lattice, D embedding width, K
delays.
"""

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from ..spectrogram import NUM_BINS, DropBin
from .phase_functional import delay_grid, delay_response, steering
from .place_functional import horizontal_code, in_view
from .stereo_position import StereoPosition

#: By how much a delay that explains a cell wholly is weighed above one that does not: exp(10).
_SHARPNESS = 10.0


@MODELS.register_module()
class PhasePosition(StereoPosition):
    """``StereoPosition`` with a second code, of the delay between the channels.

    Each delay has a place in the frame; the second code is the mean code of these places, weighed
    by how well their delays explain a cell, through a projection. Where no delay is better than
    another, as where the channels have nothing in common, it is near 0; and it is 0 with the
    projection's first weights, with which a ``StereoPosition``'s model begins unchanged.

    Args:
        embed_dims: D; the head fills it in.
        edge_delay: Delay of the left channel for a sound at the picture's right edge, seconds, at
            first: which place a delay means is learned from there. Twice as large ones are looked
            for, of sounds from outside the picture; two microphones have their distance over 343
            m/s at most, a head 0.0007.
        drop_bin: Which bin the data preprocessor drops.
    """

    steering: Tensor
    first_place: Tensor

    def __init__(
        self, *, embed_dims: int, edge_delay: float = 0.0005, drop_bin: DropBin = "nyquist"
    ) -> None:
        super().__init__(embed_dims=embed_dims)
        # The STFT's windows, of 25 ms, must hear much the same on both sides.
        if not 0.0001 <= edge_delay <= 0.0025:
            raise ValueError(
                f"edge_delay is {edge_delay!r}; give seconds, from 0.0001 to 0.0025: half of the "
                "microphones' distance over 343 m/s fits a view of 60 degrees"
            )
        delays = delay_grid(2 * edge_delay)
        self.drop_bin = drop_bin
        self.register_buffer("steering", steering(delays, NUM_BINS, drop_bin), persistent=False)
        first_place = (0.5 + delays / (2 * edge_delay)).float()
        self.register_buffer("first_place", first_place, persistent=False)
        # The shift is learned: weight decay holds it to the line, where it would hold places left.
        self.delay_shift = nn.Parameter(torch.zeros(len(delays)))
        self.delay_project = nn.Linear(self.num_feats, self.num_feats, bias=False)
        nn.init.zeros_(self.delay_project.weight)

    def place_code(self, x: Tensor, view: Tensor | None, cross: Tensor | None) -> Tensor:
        """Both codes, added; ``cross`` is that of the whole sound, (B, 2, T, F)."""
        if cross is None:
            raise ValueError(
                "a PhasePosition hears the cross spectrum of the channels, and there is none; set "
                "model.data_preprocessor.cross_spectrum=True"
            )
        by_level = super().place_code(x, view, cross)
        response = delay_response(cross, self.steering, (x.shape[1], x.shape[2]))
        weight = (_SHARPNESS * response).softmax(-1) - 1 / response.shape[-1]
        places = in_view((self.first_place + self.delay_shift).expand(len(x), -1), view)
        code = torch.einsum("btfk,bkd->btfd", weight, horizontal_code(places, self.num_feats))
        return by_level + self.delay_project(code)
