"""The segmentor of heads that give every pixel its classes: the methods to compare with.

Shorthand: B batch, C classes with background, H W image size.
"""

from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..structures import DenseOutput
from .base_segmentor import BaseAVSegmentor, ConfigType
from .resizing import Resize


@MODELS.register_module()
class DenseSegmentor(BaseAVSegmentor):
    """A head on the maps of both backbones.

    The head's ``forward`` takes the image backbone's maps and the audio backbone's, and gives a
    ``DenseOutput``; logits of one class are those of the object against the background. The
    criterion gets ``num_classes``. The arguments are the ``BaseAVSegmentor``'s.
    """

    def _build_criterion(self, criterion: ConfigType) -> nn.Module:
        return MODELS.build(dict(criterion, num_classes=self.decode_head.num_classes))

    def extract_feat(self, inputs: dict[str, Tensor]) -> tuple[Any, Any]:
        """Maps of both modalities."""
        return self.image_maps(inputs["img"]), self.sound_maps(inputs["specgram"])

    def encode_decode(
        self, inputs: dict[str, Tensor], batch_img_metas: list[dict[str, Any]]
    ) -> DenseOutput:
        """Logits at the head's own stride; losses, predictions and graphs all begin here."""
        return self.decode_head(*self.extract_feat(inputs))

    def per_picture(self, output: DenseOutput) -> Tensor:
        """Logits (C, h, w)."""
        return output.logits

    def draw(self, picture: Tensor, resize: Resize) -> Tensor:
        """Probabilities of the classes; they are taken after the upsampling of logits."""
        logits = resize(picture).float()
        if len(logits) > 1:
            return logits.softmax(0)
        probability = logits.sigmoid()
        return torch.cat([1 - probability, probability])

    def _forward(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample] | None = None
    ) -> Tensor:
        """Logits (B, C, h, w)."""
        return self.encode_decode(inputs, []).logits
