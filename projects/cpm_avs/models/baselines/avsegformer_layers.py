"""Parts of AVSegFormer: queries that have heard the sound, and a gate of channels by the sound.

Shorthand: B batch, Q queries, D width, h w size of a map.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class QueryGenerator(nn.Module):
    """Queries from one token of sound.

    With a single token there is nothing to choose from: cross attention adds the same projection of
    the sound to every query, and its weights for queries and keys have no effect.

    Args:
        num_queries: Q.
        embed_dims: D.
        num_layers: Each of self attention, cross attention and a feed-forward network.
        num_heads: Of both attentions.
        feedforward_channels: Hidden width.
    """

    def __init__(
        self,
        *,
        num_queries: int,
        embed_dims: int,
        num_layers: int,
        num_heads: int,
        feedforward_channels: int,
    ) -> None:
        super().__init__()
        self.query = nn.Embedding(num_queries, embed_dims)
        self.layers = nn.ModuleList(
            DecoderLayerWithoutBias(embed_dims, num_heads, feedforward_channels)
            for _ in range(num_layers)
        )

    def forward(self, sound: Tensor) -> Tensor:
        """(B, 1, D) to (B, Q, D)."""
        query = self.query.weight.expand(len(sound), -1, -1)
        for layer in self.layers:
            query = layer(query, sound)
        return query


class DecoderLayerWithoutBias(nn.TransformerDecoderLayer):
    """PyTorch's, whose attentions alone have no bias.

    Args:
        embed_dims: D.
        num_heads: Of both attentions.
        feedforward_channels: Hidden width.
    """

    def __init__(self, embed_dims: int, num_heads: int, feedforward_channels: int) -> None:
        super().__init__(embed_dims, num_heads, feedforward_channels, 0.0, "gelu", batch_first=True)
        self.self_attn, self.multihead_attn = (
            nn.MultiheadAttention(embed_dims, num_heads, bias=False, batch_first=True)
            for _ in range(2)
        )


class ChannelGate(nn.Module):
    """Scales the channels of a map by what the sound finds in it.

    Args:
        embed_dims: D.
        num_heads: Of the sound's attention to the cells.
    """

    def __init__(self, *, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(embed_dims, embed_dims, bias=False)
        self.key_value = nn.Linear(embed_dims, 2 * embed_dims, bias=False)
        self.project = nn.Linear(embed_dims, embed_dims)

    def forward(self, feature_map: Tensor, sound: Tensor) -> Tensor:
        """A map (B, D, h, w), gated by a token of sound (B, 1, D)."""
        cells = feature_map.flatten(2).transpose(1, 2)
        parts = (self.query(sound), *self.key_value(cells).chunk(2, -1))
        heads = [part.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for part in parts]
        found = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        gate = self.project(found).sigmoid()
        return feature_map * gate.transpose(1, 2).unsqueeze(-1)
