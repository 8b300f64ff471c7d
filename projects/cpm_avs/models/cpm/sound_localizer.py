"""Where each query hears what it has heard, apart from what that is.

A query is what it holds, and where it is. TD-A moves the former; here the latter follows, by
attention whose values are the positional codes themselves. What comes out is a mean of codes, and
its product with the code of a column is high where the sound comes from.

Shorthand: B batch, Q queries, K audio tokens of all sounds, D embedding width.
"""

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor, nn


class SoundLocalizer(BaseModule):
    """Attention from queries to the positional codes of audio tokens.

    Args:
        embed_dims: D.
    """

    def __init__(self, *, embed_dims: int) -> None:
        super().__init__()
        self.query = nn.Linear(embed_dims, embed_dims)
        self.key = nn.Linear(embed_dims, embed_dims, bias=False)  # which softmax would not hear
        # Masks begin as those of a model without places.
        self.mask_embed = nn.Linear(embed_dims // 2, embed_dims // 2)
        nn.init.zeros_(self.mask_embed.weight)
        nn.init.zeros_(self.mask_embed.bias)

    def forward(self, query: Tensor, key: Tensor, code: Tensor, mask: Tensor | None) -> Tensor:
        """Mean code of what each query listens to.

        Args:
            query: With its position, (B, Q, D).
            key: Audio tokens with their positions, (B, K, D).
            code: Their horizontal codes, (B, K, D / 2).
            mask: Which tokens a query hears, (1, 1, Q, K) bool; all if None.

        Returns:
            Tensor: (B, Q, D / 2).
        """
        asked, named = self.query(query).unsqueeze(1), self.key(key).unsqueeze(1)
        given = code.unsqueeze(1).to(named.dtype)
        return F.scaled_dot_product_attention(asked, named, given, attn_mask=mask).squeeze(1)
