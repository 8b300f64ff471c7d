"""The sampling of deformable attention on a CPU, as one product with a sparse matrix.

Each row of the matrix is a token's head; it has the 4 cells around each of the places that it
looks at, weighted by attention and bilinear interpolation. Sampling channel by channel, as
``grid_sample`` does, and then weighing what was read moves ten times as much memory.

Shorthand: B batch, N tokens, H heads, d width of a head, L levels, P places a level, R = B N H rows
of K = 4 L P entries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..made_once import made_once

_MARGIN = 2  # zeros around a map: what a place outside of it reads, and its neighbours


@dataclass(frozen=True)
class _Layout:
    """How padded maps lie in a table of rows (B * cells * H, d), for each of a head's L P places.

    Attributes:
        low: Smallest x and y, (L P, 2).
        high: Largest x and y, width and height of the map, (L P, 2).
        stride: Cells of a padded row, (L P,).
        start: Row of the map's first cell inside the margin, (B, 1, H, L P) int32.
        corners: Of a cell and its right, lower and lower right neighbour, from the first one's row,
            (L P, 4) int32.
    """

    low: Tensor
    high: Tensor
    stride: Tensor
    start: Tensor
    corners: Tensor


@made_once
def _layout(sizes: tuple[tuple[int, int], ...], places: int, batch: int, heads: int) -> _Layout:
    maps = torch.tensor(sizes)
    padded = maps + 2 * _MARGIN
    stride, cells = padded[:, 1], padded.prod(1)
    first = cells.cumsum(0) - cells + _MARGIN * stride + _MARGIN
    start = first + cells.sum() * torch.arange(batch)[:, None, None, None]
    start = start * heads + torch.arange(heads)[:, None]
    steps = torch.stack([0 * stride, 0 * stride + 1, stride, stride + 1], -1) * heads
    high = maps.flip(1).float().repeat_interleave(places, 0)
    return _Layout(
        low=torch.full_like(high, -_MARGIN),
        high=high,
        stride=stride.float().repeat_interleave(places),
        start=start.int().repeat_interleave(places, -1),
        corners=steps.int().repeat_interleave(places, 0),
    )


class BagSampling(torch.autograd.Function):
    """A ``level_sampling.Sample`` for levels of given sizes, with a backward pass of its own."""

    @staticmethod
    def forward(
        ctx: Any,
        value: Tensor,
        offsets: Tensor,
        weights: Tensor,
        reference: Tensor,
        sizes: tuple[tuple[int, int], ...],
    ) -> Tensor:
        table = _padded(value, sizes)
        index, x, y = _cells(offsets, reference, sizes)
        weights = weights.flatten(3)
        near = torch.stack([weights * (1 - y), weights * y], -1)  # of the upper and the lower row
        entries = torch.stack([near * (1 - x).unsqueeze(-1), near * x.unsqueeze(-1)], -1)
        rows = value.shape[:3].numel()
        index, entries = index.view(rows, -1), entries.view(rows, -1)
        ctx.save_for_backward(table, index, entries, weights, x, y)
        ctx.sizes, ctx.places = sizes, offsets.shape[3:5]
        found = F.embedding_bag(index, table, mode="sum", per_sample_weights=entries)
        return found.view(*value.shape[:2], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        table, index, entries, weights, x, y = ctx.saved_tensors
        gradient = gradient.reshape(len(index), -1)
        # How much each entry would have added: the product of its row's gradient and its cell. The
        # order of a row's entries, and that some are of one cell, play no part in it.
        starts = torch.arange(0, index.numel() + 1, index.shape[1], dtype=index.dtype)
        pattern = torch.sparse_csr_tensor(
            starts,
            index.flatten(),
            entries.flatten(),
            (len(index), len(table)),
            check_invariants=False,
        )
        added = torch.sparse.sampled_addmm(pattern, gradient, table.T, beta=0.0).values()
        (a, b), (c, d) = (row.unbind(-1) for row in added.view(*x.shape, 2, 2).unbind(-2))
        upper, lower = torch.lerp(a, b, x), torch.lerp(c, d, x)
        left, right = torch.lerp(a, c, y), torch.lerp(b, d, y)
        moved = torch.stack([weights * (right - left), weights * (lower - upper)], -1)
        to_table = _transposed_product(index, entries, gradient, len(table))
        to_value = _cropped(to_table, ctx.sizes, x.shape[0], x.shape[2])
        to_weights = torch.lerp(upper, lower, y)
        to_offsets, to_weights = (to.unflatten(3, ctx.places) for to in (moved, to_weights))
        return to_value, to_offsets, to_weights, None, None


def _transposed_product(index: Tensor, entries: Tensor, x: Tensor, columns: int) -> Tensor:
    """Transpose of the sparse matrix with ``entries`` (R, K) in columns ``index``, times x (R, d).

    The transpose has its entries in the order of their columns.
    """
    column = index.flatten()
    ends = column.bincount(minlength=columns).cumsum(0)
    order = column.argsort(stable=True)
    return F.embedding_bag(
        order.int() // index.shape[1],
        x,
        F.pad(ends, (1, 0)).int(),
        mode="sum",
        per_sample_weights=entries.flatten().index_select(0, order),
        include_last_offset=True,
    )


def _padded(value: Tensor, sizes: Sequence[tuple[int, int]]) -> Tensor:
    """Maps (B, N, H, d) as rows (B * cells * H, d), each map with a margin of zeros."""
    batch, _, heads, width = value.shape
    margin = 2 * _MARGIN
    cells = [(height + margin) * (across + margin) for height, across in sizes]
    table = value.new_zeros(batch, sum(cells), heads, width)
    for inside, tokens in zip(_insides(table, sizes), _levels(value, sizes), strict=True):
        inside.copy_(tokens)
    return table.view(-1, width)


def _cropped(table: Tensor, sizes: Sequence[tuple[int, int]], batch: int, heads: int) -> Tensor:
    """Undo of ``_padded``."""
    table = table.view(batch, -1, heads, table.shape[1])
    return torch.cat([inside.flatten(1, 2) for inside in _insides(table, sizes)], 1)


def _insides(table: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Views of maps with margins (B, cells, H, d) without them, each (B, h, w, H, d)."""
    margin = 2 * _MARGIN
    cells = [(height + margin) * (across + margin) for height, across in sizes]
    return [
        part.unflatten(1, (height + margin, across + margin))[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        for part, (height, across) in zip(table.split(cells, 1), sizes, strict=True)
    ]


def _levels(value: Tensor, sizes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """Maps of tokens (B, N, H, d), each (B, h, w, H, d)."""
    parts = value.split([height * across for height, across in sizes], 1)
    return [part.unflatten(1, size) for part, size in zip(parts, sizes, strict=True)]


def _cells(
    offsets: Tensor, reference: Tensor, sizes: tuple[tuple[int, int], ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """The 4 cells around each place, and where it lies between them.

    Args:
        offsets: See ``level_sampling.sampler_for``, (B, N, H, L, P, 2).
        reference: As there, (N, 2).
        sizes: As there.

    Returns:
        tuple: Rows of the padded table, upper left, upper right, lower left and lower right,
        (B, N, H, L P, 4) int32; share of the way to the right, and down, (B, N, H, L P).
    """
    batch, _, heads, _, places, _ = offsets.shape
    layout = _layout(sizes, places, batch, heads)
    centres = reference[:, None, None] * layout.high - 0.5
    # Not clamp: it hands on a place that is not a number, which would be no row of the table.
    moved = torch.fmin(torch.fmax(offsets.flatten(3, 4) + centres, layout.low), layout.high)
    corner = moved.floor()
    x, y = (moved - corner).unbind(-1)
    column, row = corner.unbind(-1)
    first = (row * layout.stride + column).int() * heads + layout.start
    return first.unsqueeze(-1) + layout.corners, x.contiguous(), y.contiguous()
