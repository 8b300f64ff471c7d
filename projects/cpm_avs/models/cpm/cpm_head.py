"""The segmentation head: pixel decoder, class-agnostic queries, audio-visual decoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import AudioFeatures, ClipFrames, DecoderOutput, Prompts, VisualFeatures
from ..precision import full_precision
from .av_decoder import AVDecoder
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
        stereo_position: Config of the ``StereoPosition``, with which the head hears two channels:
            what sounds in their mean, through a mono audio backbone, and where in their ratio; or
            of the ``PhasePosition``. None leaves both to the audio backbone.
        time: Config of the ``ClipAttention`` by which queries look back over the frames of a clip;
            the head fills in all but the window. None: every frame is seen by itself.
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
        stereo_position: dict[str, Any] | None = None,
        time: dict[str, Any] | None = None,
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
            classifier=build(classifier, num_classes=num_classes, embed_dims=embed_dims),
            embed_dims=embed_dims,
            num_heads=num_heads,
            feedforward_channels=feedforward_channels,
            num_audio_layers=num_audio_layers,
            num_visual_layers=num_visual_layers,
            time=build(time, embed_dims=embed_dims, num_queries=num_queries, num_heads=num_heads),
            hears_places=stereo_position is not None,
        )
        self.stereo_position = build(stereo_position, embed_dims=embed_dims)
        self.query_feat = nn.Embedding(num_queries, embed_dims)
        self.query_embed = nn.Embedding(num_queries, embed_dims)

    @property
    def classifier(self) -> nn.Module:
        """The classifier slot."""
        return self.decoder.classifier

    @property
    def time(self) -> nn.Module | None:
        """The ``ClipAttention``, if there is one."""
        return self.decoder.time

    def decode_pixels(self, feature_maps: Sequence[Tensor]) -> VisualFeatures:
        """Run the pixel decoder on the image backbone's maps; clean and prompted path share it.

        In float32 under autocast, as Mask2Former's authors do: six layers of sampling and adding up
        are where half precision overflows first, and mmcv's kernel has no bfloat16.
        """
        with torch.autocast(feature_maps[0].device.type, enabled=False):
            mask_features, memories = self.pixel_decoder([full_precision(x) for x in feature_maps])
        return VisualFeatures(mask_features, tuple(memories))

    def forward(
        self,
        visual: VisualFeatures,
        audio: AudioFeatures,
        prompts: Prompts | None = None,
        clips: ClipFrames | None = None,
        every_layer: bool = True,
    ) -> DecoderOutput:
        """Decode the N class-agnostic queries, and in training the prompts behind them.

        They go through the decoder together, which reads the image once, but as if by themselves.
        With ``time``, queries look back over the frames that ``clips`` says follow one another.
        Without ``every_layer`` the first and the last layer predict, and none between them.
        """
        batch_size = len(visual.mask_features)
        query = self.query_feat.weight.expand(batch_size, -1, -1)
        position = self.query_embed.weight.expand(batch_size, -1, -1)
        if prompts is None:
            return self.decoder(
                query, position, visual, [audio], clips=clips, every_layer=every_layer
            )
        cells = audio.memory.shape[-2:].numel()
        self_mask, sound_mask = masks_apart(self.num_queries, prompts.padding, cells)
        return self.decoder(
            torch.cat([query, prompts.content], 1),
            torch.cat([position, prompts.position], 1),
            visual,
            [audio, prompts.audio],
            self_mask=self_mask,
            sound_mask=sound_mask,
            clips=clips,
            every_layer=every_layer,
        )


def build(config: Mapping[str, Any] | None, **sizes: int) -> Any:
    """A part by its config, with the sizes that the head knows; None of None."""
    return None if config is None else MODELS.build({**config, **sizes})


def masks_apart(num_queries: int, padding: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """What queries and the prompts behind them look at: their own kind and their own sound.

    Args:
        num_queries: N.
        padding: Prompts that are none, (B, K) bool.
        cells: A of each of the two sounds, the queries' and the prompts'.

    Returns:
        tuple: Who looks at whom, (B, 1, N + K, N + K) bool, and who hears what,
        (1, 1, N + K, 2 A) bool.
    """
    real = ~F.pad(padding, (num_queries, 0))
    total = real.shape[1]
    is_prompt = torch.arange(total, device=padding.device) >= num_queries
    alike = is_prompt.unsqueeze(1) == is_prompt
    # Nobody looks at padding, but a padded prompt at itself: in an image without prompts it would
    # have nothing to look at, and its softmax would be NaN.
    itself = torch.eye(total, dtype=torch.bool, device=padding.device)
    of_prompts = torch.arange(2 * cells, device=padding.device) >= cells
    hears = is_prompt.unsqueeze(1) == of_prompts
    return (alike & real.unsqueeze(1) | itself).unsqueeze(1), hears[None, None]
