"""The segmentor of heads that see the frames of a clip together.

Shorthand: F frames of all clips, C classes with background.
"""

from typing import Any

from mmseg.registry import MODELS
from torch import Tensor

from ..structures import DenseOutput, clip_lengths
from .dense_segmentor import DenseSegmentor


@MODELS.register_module()
class ClipSegmentor(DenseSegmentor):
    """A ``DenseSegmentor`` whose head is also told how long the clips of a batch are.

    Frames of a ``ClipDataset`` say so themselves (``clip_length`` in the metainfo); others are
    clips of one frame. Without metainfo, as in a graph, the batch is one clip. The head's
    ``forward`` takes the image backbone's maps, the audio backbone's and the lengths. The arguments
    are the ``BaseAVSegmentor``'s.
    """

    @property
    def clip_length(self) -> int:  # type: ignore[override]
        """Frames that see one another."""
        return self.decode_head.clip_length

    def encode_decode(
        self, inputs: dict[str, Tensor], batch_img_metas: list[dict[str, Any]]
    ) -> DenseOutput:
        """Logits at the head's own stride, of frames that have seen the others of their clip."""
        lengths = clip_lengths(batch_img_metas) or [len(inputs["img"])]
        return self.decode_head(*self.extract_feat(inputs), lengths)
