"""A query looks back at itself in the frames of its clip so far, with a relative time code.

    x_t  +  W_o  sum_s  softmax_s( q_t k_s / sqrt(d) + b_{t-s} ) v_s,      0 <= t - s < T

q, k and v are linear in the layer-normed x; b is learned for each head and number of frames ago
(T5's relative position bias). W_o starts at 0, so that a model trained on single frames starts
unchanged.
A query is one through all frames by its number: query n of a frame looks at query n of the others.

Shorthand: B frames of all clips, P frames before them, T frames that are looked back over, Q
queries with the prompts behind them, N queries, D width.
"""

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, nn

from ...structures import ClipFrames
from ..made_once import made_once


@made_once
def frames_ago(lengths: tuple[int, ...], past: int, window: int, device: torch.device) -> Tensor:
    """How many frames before a frame another one lies, (B, P + B) int64.

    Args:
        lengths: Frames of each clip, B together.
        past: P, frames before the first clip's.
        window: T. It stands where a frame is not looked at: it lies in another clip, too far back
            or ahead.
        device: Of the result.
    """
    ends = past + torch.tensor(lengths, device=device).cumsum(0)
    place = torch.arange(past + sum(lengths), device=device)
    # Counted, not by repeat_interleave or searchsorted: ONNX has what this takes.
    clip = (place[:, None] >= ends).sum(1)
    ago = place[past:, None] - place
    seen = (clip[past:, None] == clip) & (ago >= 0) & (ago < window)
    return torch.where(seen, ago, window)


class TimeAttention(BaseModule):
    """The attention of one place in the decoder.

    Args:
        embed_dims: D.
        num_heads: Attention heads.
        window: T.
    """

    def __init__(self, *, embed_dims: int, num_heads: int, window: int) -> None:
        super().__init__()
        self.num_heads, self.window = num_heads, window
        self.norm = nn.LayerNorm(embed_dims)
        self.in_proj = nn.Linear(embed_dims, 3 * embed_dims)
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        self.time_bias = nn.Parameter(torch.zeros(num_heads, window))
        nn.init.zeros_(self.out_proj.weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, query: Tensor, past: Tensor, lengths: tuple[int, ...]) -> Tensor:
        """Queries that have looked back, (B, N, D).

        Args:
            query: (B, N, D).
            past: The same of the frames before the first clip's, (P, N, D).
            lengths: Frames of each clip, B together.
        """
        frames = self.in_proj(self.norm(torch.cat([past, query]))).transpose(0, 1)
        queries, keys, values = (
            x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for x in frames.chunk(3, -1)
        )
        ago = frames_ago(lengths, len(past), self.window, query.device)
        bias = F.pad(self.time_bias, (0, 1), value=-torch.inf).to(queries.dtype)[:, ago]
        found = F.scaled_dot_product_attention(
            queries[:, :, len(past) :], keys, values, attn_mask=bias
        )
        return query + self.out_proj(found.transpose(1, 2).flatten(2).transpose(0, 1))


@MODELS.register_module()
class ClipAttention(BaseModule):
    """Looks back at two places of the decoder: after TD-A and at the end of TD-V.

    The class-agnostic queries alone do so. Prompts are drawn anew for every frame, of other classes
    in another order, so that one's number says nothing of the next frame's: they pass unchanged.

    A frame's answer depends on the 2 (T - 1) frames before it: what it looks at after TD-V has
    itself looked back after TD-A.

    Args:
        embed_dims: D; the head fills it in.
        num_queries: N; filled in too.
        num_heads: Attention heads; filled in too.
        window: T, frames with the newest one.
    """

    PLACES = 2

    def __init__(self, *, embed_dims: int, num_queries: int, num_heads: int, window: int) -> None:
        super().__init__()
        if window < 2:
            raise ValueError(
                f"time.window is {window}; give at least 2 frames, or leave time out for a model "
                "that sees every frame by itself"
            )
        self.window, self.num_queries = window, num_queries
        self.layers = nn.ModuleList(
            TimeAttention(embed_dims=embed_dims, num_heads=num_heads, window=window)
            for _ in range(self.PLACES)
        )

    def forward(self, place: int, query: Tensor, clips: ClipFrames | None) -> tuple[Tensor, Tensor]:
        """Let the queries look back.

        Args:
            place: 0 after TD-A, 1 after TD-V.
            query: (B, Q, D).
            clips: Which frames follow one another; None: every frame is a clip of its own.

        Returns:
            tuple: The queries, (B, Q, D), and what the frames to come will look at, (B, N, D).
        """
        clips = clips or ClipFrames((1,) * len(query))
        own, prompts = query[:, : self.num_queries], query[:, self.num_queries :]
        past = clips.past[place] if clips.past else own[:0]
        looked = self.layers[place](own, past, clips.lengths)
        return torch.cat([looked, prompts], 1), own

    def keep(self, clips: ClipFrames, timed: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The ``past`` of the frames that follow on a clip: its last T - 1 frames.

        Args:
            clips: One clip, with its past.
            timed: Of each place, what ``forward`` gave of the clip's frames.
        """
        before = clips.past or tuple(own[:0] for own in timed)
        return tuple(
            torch.cat([earlier, own])[-(self.window - 1) :].clone()
            for earlier, own in zip(before, timed, strict=True)
        )
