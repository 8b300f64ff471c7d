"""Audio backbones that hear mel bands: maps on these, and on linear frequency for who asks."""

from abc import abstractmethod

from torch import Tensor, nn

from ...structures import SoundMap


class MelMaps(nn.Module):
    """An audio backbone whose cells lie at mel bands, of which there are fewer than linear bins."""

    @abstractmethod
    def own_maps(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """(B, A, T, 256) linear magnitude to maps as the network has them."""

    def forward(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """(B, A, T, 256) linear magnitude to maps (B, out_channels, ~T/stride, 256/stride)."""
        return tuple(level.linear() for level in self.own_maps(specgram))
