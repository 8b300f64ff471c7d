"""The positional code of stereo sound's tokens.

Shorthand: B batch, T F spectrogram frames and bins, Ta Fa audio lattice, D embedding width.
"""

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from .place_functional import horizontal_code, in_view, panning


@MODELS.register_module()
class StereoPosition(BaseModule):
    """Positional code of the audio tokens; a silent one has a code of its own.

    Args:
        embed_dims: D; the head fills it in.
    """

    def __init__(self, *, embed_dims: int) -> None:
        super().__init__()
        if embed_dims % 8:
            raise ValueError(
                f"embed_dims is {embed_dims}; with stereo_position give a multiple of 8, since a "
                "half of it tells time and frequency, and the other the place"
            )
        self.num_feats = embed_dims // 2
        self.silence_embed = nn.Parameter(torch.zeros(self.num_feats))

    def forward(
        self,
        specgram: Tensor,
        size: tuple[int, int],
        view: Tensor | None = None,
        cross: Tensor | None = None,
    ) -> Tensor:
        """Codes of all cells.

        Args:
            specgram: Linear magnitudes, (B, 2, T, F).
            size: Ta and Fa.
            view: See ``in_view``.
            cross: Not heard here, see ``PhasePosition``.

        Returns:
            Tensor: (B, D / 2, Ta, Fa).
        """
        if specgram.shape[1] != 2:
            raise ValueError(
                "model.decode_head.stereo_position hears places in two channels, and the data's "
                f"sound has {specgram.shape[1]}; load it with two, or leave stereo_position out"
            )
        x, heard = panning(specgram, size)
        code = self.place_code(x, view, cross).to(self.silence_embed.dtype)
        return code.where(heard.unsqueeze(-1), self.silence_embed).permute(0, 3, 1, 2)

    def place_code(self, x: Tensor, view: Tensor | None, cross: Tensor | None) -> Tensor:
        """Codes of what is heard at ``x`` (B, Ta, Fa): (B, Ta, Fa, D / 2)."""
        return horizontal_code(in_view(x, view), self.num_feats)
