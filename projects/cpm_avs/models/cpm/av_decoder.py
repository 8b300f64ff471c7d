"""The transformer decoder: TD-A over the audio, then TD-V over three visual scales (Fig. 2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer, SinePositionalEncoding
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import AudioFeatures, DecoderOutput, VisualFeatures


def _tokens(feature_map: Tensor) -> Tensor:
    """(B, D, h, w) to (B, h * w, D)."""
    return feature_map.flatten(2).transpose(1, 2)


@MODELS.register_module()
class AVDecoder(BaseModule):
    """Queries attend first to the sound, then, masked, to the image.

    Class-agnostic queries and prompts go through this same module in calls of their own, so the
    two kinds can't see each other.

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
            return Mask2FormerTransformerDecoderLayer(
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
        self.positional_encoding = SinePositionalEncoding(embed_dims // 2, normalize=True)
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
        audio: AudioFeatures,
        self_attn_mask: Tensor | None = None,
    ) -> DecoderOutput:
        """Run all layers.

        Args:
            query: Content of the queries or prompts, (B, Q, D).
            query_pos: Their positions, (B, Q, D).
            visual: Image features.
            audio: Features of the sound that the queries shall listen to.
            self_attn_mask: (B * heads, Q, Q) bool, True where a query must not look.

        Returns:
            DecoderOutput: 1 + ``num_visual_layers`` predictions, the first one after TD-A.
        """
        audio_memory, audio_pos = self._memory(audio.memory)
        for layer in self.audio_layers:
            query = layer(
                query,
                key=audio_memory,
                value=audio_memory,
                query_pos=query_pos,
                key_pos=audio_pos,
                self_attn_mask=self_attn_mask,
            )

        memories = [
            self._memory(memory, self.level_embed.weight[level])
            for level, memory in enumerate(visual.memories)
        ]
        predictions = [self._predict(query, visual.mask_features)]
        for index, layer in enumerate(self.visual_layers):
            level = index % self.num_levels
            memory, memory_pos = memories[level]
            size = visual.memories[level].shape[-2:]
            query = layer(
                query,
                key=memory,
                value=memory,
                query_pos=query_pos,
                key_pos=memory_pos,
                self_attn_mask=self_attn_mask,
                cross_attn_mask=self._attention_mask(predictions[-1][2], size),
            )
            predictions.append(self._predict(query, visual.mask_features))

        embeddings, cls_logits, mask_logits = zip(*predictions, strict=True)
        return DecoderOutput(torch.stack(embeddings), torch.stack(cls_logits), mask_logits)

    def _memory(self, feature_map: Tensor, embed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens of a map and their 2-D positional encoding, both (B, h * w, D)."""
        no_padding = feature_map.new_zeros((1, *feature_map.shape[-2:]), dtype=torch.bool)
        position = self.positional_encoding(no_padding).to(feature_map.dtype)
        tokens = _tokens(feature_map)
        if embed is not None:
            tokens = tokens + embed
        return tokens, _tokens(position).expand_as(tokens)

    def _predict(self, query: Tensor, mask_features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Embeddings (B, Q, D), class logits (B, Q, C + 1) and mask logits (B, Q, h, w)."""
        embeddings = self.post_norm(query)
        mask_logits = torch.einsum("bqd,bdhw->bqhw", self.mask_embed(embeddings), mask_features)
        return embeddings, self.classifier(embeddings), mask_logits

    def _attention_mask(self, mask_logits: Tensor, size: Sequence[int]) -> Tensor:
        """Where a query must not look, (B * heads, Q, h * w): outside its own last mask."""
        resized = F.interpolate(
            mask_logits.detach(), tuple(size), mode="bilinear", align_corners=False
        )
        outside = resized.flatten(2) < 0  # sigmoid < 0.5
        # A query with an empty mask would attend to nothing and turn NaN: let it see everything.
        outside = outside & ~outside.all(-1, keepdim=True)
        return outside.repeat_interleave(self.num_heads, dim=0)
