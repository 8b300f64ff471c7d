"""A layer of the transformer decoder: cross-attention, self-attention, feed-forward (Sec. 3.1).

Shorthand: B batch, Q queries, K keys, D embedding width.
"""

import torch.nn.functional as F
from mmdet.models.layers import Mask2FormerTransformerDecoderLayer
from torch import Tensor, nn


def attend(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None
) -> Tensor:
    """What PyTorch's module gives, by a fused kernel and with one mask for all heads.

    Args:
        attention: Whose weights are used; without dropout.
        query: (B, Q, D).
        key: (B, K, D).
        value: (B, K, D).
        mask: Where a query looks, (B, 1, Q, K) bool with at least one True a query; everywhere if
            None.

    Returns:
        Tensor: (B, Q, D).
    """
    weights, biases = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    queries, keys, values = (
        F.linear(x, weight, bias).unflatten(-1, (attention.num_heads, -1)).transpose(1, 2)
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    found = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
    return attention.out_proj(found.transpose(1, 2).flatten(2))


class DecoderLayer(Mask2FormerTransformerDecoderLayer):
    """MMDetection's layer, its parameters and its result, without what it does over and over.

    It asks PyTorch for the weights of attention, which rules the fused kernels out, and adds
    positions to keys in every layer that reads them.
    """

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        self_mask: Tensor | None = None,
        cross_mask: Tensor | None = None,
    ) -> Tensor:
        """One layer.

        Args:
            query: Content of the queries, (B, Q, D).
            query_pos: Their positions, (B, Q, D).
            key: What is read, with its positions, (B, K, D).
            value: The same without, (B, K, D).
            self_mask: See ``attend``, (B, 1, Q, Q).
            cross_mask: See ``attend``, (B, 1, Q, K).

        Returns:
            Tensor: (B, Q, D).
        """
        found = attend(self.cross_attn.attn, query + query_pos, key, value, cross_mask)
        query = self.norms[0](query + found)
        placed = query + query_pos
        query = self.norms[1](query + attend(self.self_attn.attn, placed, placed, query, self_mask))
        return self.norms[2](self.ffn(query))
