"""From the audio backbone's maps to the memory that TD-A attends to."""

from collections.abc import Sequence

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from mmseg.registry import MODELS

from ...structures import AudioFeatures, SoundMap


@MODELS.register_module()
class AudioDecoder(BaseModule):
    """Projects u_a to the decoder's width.

    What searches the sound at finer strides, which only the prompting tasks do, reads the
    backbone's ``levels`` beside it in training, so that inference does not pay for it.

    Args:
        in_channels: Channels of the backbone's maps, finest first.
        embed_dims: D.
    """

    def __init__(self, *, in_channels: Sequence[int], embed_dims: int) -> None:
        super().__init__()
        self.project = ConvModule(
            in_channels[-1], embed_dims, 1, norm_cfg=dict(type="GN", num_groups=32), act_cfg=None
        )

    def forward(self, levels: tuple[SoundMap, ...]) -> AudioFeatures:
        """Project the last of the maps (B, C_l, T_l, F_l)."""
        memory = self.project.norm(levels[-1].linear(self.project.conv))
        return AudioFeatures(levels=levels, memory=memory)
