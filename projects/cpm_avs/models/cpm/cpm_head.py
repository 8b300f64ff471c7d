"""The segmentation head: pixel decoder, class-agnostic queries, audio-visual decoder."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import AudioFeatures, DecoderOutput, VisualFeatures
from .av_decoder import AVDecoder
from .gaussian_functional import full_precision
from .pixel_decoder import PixelDecoder


@MODELS.register_module()
class CPMHead(BaseModule):
    """Everything between the backbones and the predictions.

    Args:
        in_channels: Channels of the image backbone's maps at strides 4, 8, 16 and 32.
        num_classes: C, classes with background.
        classifier: Config of the classifier slot; the head fills in C and D.
        embed_dims: D.
        num_queries: N, class-agnostic queries.
        num_encoder_layers: Layers of the pixel decoder's encoder.
        feedforward_channels: Hidden width of the feed-forward layers of TD-A and TD-V; those of the
            pixel decoder's encoder have half of it, as in Mask2Former.
        num_audio_layers: Layers of TD-A.
        num_visual_layers: Layers of TD-V.
        num_heads: Attention heads of the decoder.
    """

    def __init__(
        self,
        *,
        in_channels: Sequence[int],
        num_classes: int,
        classifier: dict[str, Any],
        embed_dims: int,
        num_queries: int = 100,
        num_encoder_layers: int = 6,
        feedforward_channels: int = 2048,
        num_audio_layers: int = 3,
        num_visual_layers: int = 9,
        num_heads: int = 8,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_queries = num_queries
        self.in_channels = list(in_channels)
        self.pixel_decoder = PixelDecoder(
            in_channels=in_channels,
            embed_dims=embed_dims,
            num_layers=num_encoder_layers,
            feedforward_channels=feedforward_channels // 2,
        )
        self.decoder = AVDecoder(
            classifier=MODELS.build(
                dict(classifier, num_classes=num_classes, embed_dims=embed_dims)
            ),
            embed_dims=embed_dims,
            num_heads=num_heads,
            feedforward_channels=feedforward_channels,
            num_audio_layers=num_audio_layers,
            num_visual_layers=num_visual_layers,
        )
        self.query_feat = nn.Embedding(num_queries, embed_dims)
        self.query_embed = nn.Embedding(num_queries, embed_dims)

    @property
    def classifier(self) -> nn.Module:
        """The classifier slot."""
        return self.decoder.classifier

    def decode_pixels(self, feature_maps: Sequence[Tensor]) -> VisualFeatures:
        """Run the pixel decoder on the image backbone's maps; clean and prompted path share it.

        In float32 under autocast, as Mask2Former's authors do: six layers of sampling and adding up
        are where half precision overflows first, and mmcv's kernel has no bfloat16.
        """
        with torch.autocast(feature_maps[0].device.type, enabled=False):
            mask_features, memories = self.pixel_decoder([full_precision(x) for x in feature_maps])
        return VisualFeatures(mask_features, tuple(memories))

    def forward(self, visual: VisualFeatures, audio: AudioFeatures) -> DecoderOutput:
        """Decode the N class-agnostic queries."""
        batch_size = len(visual.mask_features)
        return self.decoder(
            self.query_feat.weight.expand(batch_size, -1, -1),
            self.query_embed.weight.expand(batch_size, -1, -1),
            visual,
            audio,
        )

    def decode_prompts(
        self,
        prompts: Tensor,
        prompt_pos: Tensor,
        padding: Tensor,
        visual: VisualFeatures,
        audio: AudioFeatures,
    ) -> DecoderOutput:
        """Decode class-conditional prompts in place of the queries (training only).

        Args:
            prompts: (B, Q, D), in the scale of layer-normed queries.
            prompt_pos: Their positions, (B, Q, D).
            padding: (B, Q) bool, True where an image has fewer prompts than Q.
            visual: The features that the queries read.
            audio: Features of the mixed sound.
        """
        # No prompt looks at padding, but a padded one at itself: in an image without prompts it
        # would have nothing to look at, and its softmax would be NaN.
        itself = torch.eye(padding.shape[1], dtype=torch.bool, device=padding.device)
        seen = (~padding[:, None, :] | itself).unsqueeze(1)
        return self.decoder(prompts, prompt_pos, visual, audio, self_mask=seen)
