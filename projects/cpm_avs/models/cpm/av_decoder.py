"""The transformer decoder: TD-A over the audio, then TD-V over three visual scales (Fig. 2)."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import AudioFeatures, DecoderOutput, VisualFeatures
from .decoder_layer import DecoderLayer
from .positions import sine_encoding


def keys_and_values(feature_map: Tensor, embed: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """A map (B, D, h, w) as keys, which have positions, and values, which have not.

    Args:
        feature_map: What queries attend to.
        embed: Added to every cell, (D,).

    Returns:
        tuple: Both (B, h * w, D).
    """
    values = feature_map.flatten(2).transpose(1, 2)
    if embed is not None:
        values = values + embed
    embed_dims, height, width = feature_map.shape[1:]
    position = sine_encoding(height, width, embed_dims, feature_map.device, feature_map.dtype)
    return values + position, values


def attention_mask(mask_embeddings: Tensor, shrunk_features: Tensor) -> Tensor:
    """Where each query looks: inside its own last mask.

    The masks are drawn at the size of the map that is read. Shrinking is linear: features shrunk
    once give what masks drawn at stride 4 would, shrunk for each layer.

    Args:
        mask_embeddings: (B, Q, D).
        shrunk_features: Mask features at the size of the map, (B, D, K).

    Returns:
        Tensor: (B, 1, Q, K) bool.
    """
    inside = mask_embeddings @ shrunk_features >= 0  # sigmoid >= 0.5
    # A query with an empty mask would attend to nothing and turn NaN: let it see everything.
    return (inside | ~inside.any(-1, keepdim=True)).unsqueeze(1)


@MODELS.register_module()
class AVDecoder(BaseModule):
    """Queries attend first to the sound, then, masked, to the image.

    Class-agnostic queries and prompts go through it together; masks keep the two kinds from seeing
    each other, and from hearing each other's sound.

    Args:
        classifier: Built module that maps (..., D) to logits (..., C + 1).
        embed_dims: D.
        num_heads: Attention heads.
        feedforward_channels: Hidden width of the feed-forward layers.
        num_audio_layers: Layers of TD-A.
        num_visual_layers: Layers of TD-V; layer l reads the memory l mod 3, coarsest first.
        num_levels: Visual memories.
    """

    def __init__(
        self,
        *,
        classifier: nn.Module,
        embed_dims: int,
        num_heads: int,
        feedforward_channels: int,
        num_audio_layers: int,
        num_visual_layers: int,
        num_levels: int = 3,
    ) -> None:
        super().__init__()
        if min(num_audio_layers, num_visual_layers) < 1:
            raise ValueError(
                f"TD-A has {num_audio_layers} and TD-V {num_visual_layers} layers; "
                "each needs at least 1"
            )
        self.num_heads = num_heads
        self.num_levels = num_levels

        def layer() -> nn.Module:
            attention = dict(embed_dims=embed_dims, num_heads=num_heads, batch_first=True)
            return DecoderLayer(
                self_attn_cfg=dict(attention),
                cross_attn_cfg=dict(attention),
                ffn_cfg=dict(
                    embed_dims=embed_dims,
                    feedforward_channels=feedforward_channels,
                    num_fcs=2,
                    act_cfg=dict(type="ReLU", inplace=True),
                ),
            )

        self.audio_layers = nn.ModuleList(layer() for _ in range(num_audio_layers))
        self.visual_layers = nn.ModuleList(layer() for _ in range(num_visual_layers))
        self.level_embed = nn.Embedding(num_levels, embed_dims)
        self.post_norm = nn.LayerNorm(embed_dims)
        self.classifier = classifier
        self.mask_embed = nn.Sequential(
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(inplace=True),
            nn.Linear(embed_dims, embed_dims),
            nn.ReLU(inplace=True),
            nn.Linear(embed_dims, embed_dims),
        )

    def init_weights(self) -> None:
        """Xavier for the layers' matrices, as in DETR."""
        super().init_weights()
        for layers in (self.audio_layers, self.visual_layers):
            for parameter in layers.parameters():
                if parameter.dim() > 1:
                    nn.init.xavier_uniform_(parameter)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        visual: VisualFeatures,
        sounds: Sequence[AudioFeatures],
        *,
        self_mask: Tensor | None = None,
        sound_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Run all layers.

        Args:
            query: Content of the queries and prompts, (B, Q, D).
            query_pos: Their positions, (B, Q, D).
            visual: Image features.
            sounds: Features of the sounds that the queries shall listen to.
            self_mask: Which queries a query looks at, (B, 1, Q, Q) bool; all if None.
            sound_mask: Which cells of all the sounds it hears, (1, 1, Q, K) bool; all if None.

        Returns:
            DecoderOutput: 1 + ``num_visual_layers`` predictions, the first one after TD-A.
        """
        heard = [keys_and_values(sound.memory) for sound in sounds]
        keys, values = (torch.cat(parts, 1) for parts in zip(*heard, strict=True))
        for layer in self.audio_layers:
            query = layer(
                query, query_pos, keys, values, self_mask=self_mask, cross_mask=sound_mask
            )

        maps = [
            keys_and_values(memory, embed)
            for memory, embed in zip(visual.memories, self.level_embed.weight, strict=True)
        ]
        queries = [query]
        for index, layer in enumerate(self.visual_layers):
            level = index % self.num_levels
            with torch.no_grad():
                drawn = self.mask_embed(self.post_norm(query))
                cross_mask = attention_mask(drawn, visual.shrunk[level])
            query = layer(
                query, query_pos, *maps[level], self_mask=self_mask, cross_mask=cross_mask
            )
            queries.append(query)
        embeddings = self.post_norm(torch.stack(queries))
        return DecoderOutput(
            embeddings,
            self.classifier(embeddings),
            self.mask_embed(embeddings),
            visual.mask_features,
        )
