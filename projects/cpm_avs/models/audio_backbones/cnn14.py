"""PANNs' Cnn14, its maps on the linear spectrogram's lattice.

Facts from https://github.com/qiuqiangkong/audioset_tagging_cnn (MIT): five blocks of two 3x3
convolutions with batch normalisation and ReLU, 64 to 1024 channels, each closed by a 2x2 average; a
sixth of 2048 and the classifier behind it are not here. Its dropout and its masking of stripes in
training are left out.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

from ...structures import SoundMap
from ..memory_layout import fast_layout
from ..partly_frozen import PartlyFrozen
from ..spectrogram import MEL_BANDS, DropBin
from .mel_maps import MelMaps
from .panns_mel import PANNS_16K
from .pretrained_weights import leave_out, spread_over_channels
from .yamnet import mel_to_linear

WIDTHS = (64, 128, 256, 512, 1024)
STRIDES = (2, 4, 8, 16, 16)
#: The block whose map is taken before its average.
LAST = 4


class ConvBlock(nn.Module):
    """Two convolutions."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


@MODELS.register_module()
class Cnn14(MelMaps, PartlyFrozen):
    """Maps of Cnn14 (AudioSet, 16 kHz) on the (T, 256) lattice, any T.

    Args:
        in_channels: Audio channels A; pretrained mono weights are spread over them.
        out_indices: Blocks whose maps are returned, of strides 2, 4, 8, 16 and 16: the last is
            taken before its own average. The network ends with the last that is named.
        frozen_stages: The first so many blocks, with the normalisation of the bands before them,
            get no gradient and keep their statistics; -1 freezes none.
        norm_eval: Whether batch statistics stay as they are in training.
        drop_bin: Which bin the data preprocessor drops.
        init_cfg: ``dict(type='Pretrained', checkpoint=FILE)``, FILE from tools/prepare_weights.py.
    """

    filters: Tensor

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_indices: Sequence[int] = (1, 2, 4),
        frozen_stages: int = -1,
        norm_eval: bool = False,
        drop_bin: DropBin = "nyquist",
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg or dict(type="Xavier", layer="Conv2d", distribution="uniform"))
        if not set(out_indices) <= set(range(len(WIDTHS))):
            raise ValueError(f"out_indices is {tuple(out_indices)}; Cnn14 has blocks 0 to 4")
        last = max(out_indices) + 1
        if frozen_stages > last:
            raise ValueError(
                f"frozen_stages is {frozen_stages}; there are {last} blocks up to the last of "
                "out_indices"
            )
        self.bn0 = nn.BatchNorm2d(MEL_BANDS)
        # Blocks behind the last map would get no gradient, which distributed training refuses.
        widths = (in_channels, *WIDTHS[:last])
        self.blocks = nn.ModuleList(map(ConvBlock, widths[:-1], widths[1:]))
        self.in_channels = in_channels
        spread_over_channels(self.blocks[0].conv1)
        leave_out(self.blocks, range(last, len(WIDTHS)))
        self.out_indices = tuple(out_indices)
        self.out_channels = tuple(WIDTHS[i] for i in out_indices)
        self.out_strides = tuple(STRIDES[i] for i in out_indices)
        self.frozen_stages = frozen_stages
        self.norm_eval = norm_eval
        self.drop_bin = drop_bin
        self.register_buffer("filters", PANNS_16K.filters(drop_bin), persistent=False)
        for stride in set(self.out_strides):
            matrix = mel_to_linear(stride, drop_bin, PANNS_16K.band_position)
            self.register_buffer(f"to_linear_{stride}", matrix, persistent=False)
        self.freeze()

    def own_maps(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """See ``MelMaps``."""
        bands = PANNS_16K.log_mel(specgram, self.filters)
        x = fast_layout(self.bn0(bands.transpose(1, 3)).transpose(1, 3))
        maps: list[Tensor] = []
        for block in self.blocks:
            x = block(x)
            if len(maps) < LAST:
                # ceil_mode keeps the last frames of an odd length.
                x = F.avg_pool2d(x, 2, ceil_mode=True)
            maps.append(x)
        return tuple(
            SoundMap(maps[i], self.get_buffer(f"to_linear_{stride}"))
            for i, stride in zip(self.out_indices, self.out_strides, strict=True)
        )

    @property
    def frozen(self) -> list[nn.Module]:
        """See ``PartlyFrozen``."""
        return [self.bn0, *self.blocks[: self.frozen_stages]] if self.frozen_stages >= 0 else []
