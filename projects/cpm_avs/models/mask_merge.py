"""Merging the queries' classes and masks into one score map a class (Sec. 3.1).

A rule has four forms, see ``MergeRule``. The paper's has a function for each: ``merge_max`` draws
the queries that name a class and gives every class its map; ``best_of_max`` keeps no such maps,
which for many classes at full size are the largest thing there is; ``merge_max_static`` and
``best_of_max_static`` draw all queries.

Shorthand: Q queries, C classes with background, h w masks, H W output size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from .resizing import Resize


def background_floor(claims: Tensor, scores: Tensor) -> Tensor:
    """Background's score where no query is named background: p_i (1 - m_i) of the best claim.

    The rule leaves background nothing then, and any sigmoid beats nothing: one query would take the
    whole picture. With this a pixel goes to the query with the best claim where that query's own
    mask says so (m_i > 0.5), and with two classes the object's share p m / (p m + p (1 - m)) is the
    mask itself. The largest p (1 - m) of all queries will not do: a query that is sure of itself
    elsewhere would take the pixel from the one that claims it.

    Args:
        claims: p_i m_i, (Q, H, W) with Q at least 1.
        scores: p_i, (Q,).

    Returns:
        Tensor: (H, W).
    """
    best, query = claims.max(0)
    return scores[query] - best


def merge_max(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> Tensor:
    """The paper's rule: a pixel goes to the query with the largest p_i(c_i) * m_i, c_i no-object.

    Where no query is named background, that of ``background_floor`` is background's score. Queries
    whose likeliest class is no-object are dropped before their masks are upsampled, which saves
    most of the work.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Tensor: (C, H, W) in [0, 1]; per class the best product over its queries, so that the
        argmax over classes is the rule above, and a pixel that nobody claims is background (0).
    """
    queries, scores, labels = _named(cls_logits)
    claims = resize(mask_logits[queries]).sigmoid() * scores[:, None, None]
    merged = _best_of_each_class(claims, labels, cls_logits.shape[-1] - 1)
    if len(labels) > 0 and labels[0] != 0:
        merged[0] = background_floor(claims, scores)
    return merged


def best_of_max(
    cls_logits: Tensor,
    mask_logits: Tensor,
    resize: Resize,
    held: Tensor | None = None,
    margin: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Of what ``merge_max`` gives the largest score of each pixel and its class, and nothing else.

    Queries are drawn one after the other and no class has a map of its own, so that neither time
    nor memory grows with the number of classes, nor memory with that of the queries.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).
        held: Classes that pixels keep unless another's score is larger by ``margin``, (1, H, W).
        margin: See ``held``.

    Returns:
        Two tensors (1, H, W): scores in [0, 1] and classes, int64. The first of classes with the
        same score wins, as with an argmax over ``merge_max``.
    """

    def lead(classes: Tensor | int) -> Tensor | float:
        return 0.0 if held is None else margin * (held == classes)

    queries, scores, labels = _named(cls_logits)
    size = resize(mask_logits[:0]).shape[-2:]
    best = torch.full((1, *size), -1.0, device=mask_logits.device)  # less than any claim
    owner = torch.zeros_like(best, dtype=torch.long)
    for number, query in enumerate(queries.tolist()):
        claim = resize(mask_logits[query : query + 1]).sigmoid() * scores[number]
        claim = claim + lead(labels[number])
        owner.masked_fill_(claim > best, number)
        best = torch.maximum(best, claim)
    if len(queries) == 0:
        return torch.zeros_like(best), owner
    classes = labels[owner]
    claimed = best - lead(classes)
    if labels[0] == 0:
        return claimed, classes
    floor = scores[owner] - claimed
    nobodys = floor + lead(0) >= best
    return torch.where(nobodys, floor, claimed), classes.masked_fill(nobodys, 0)


def _named(cls_logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The queries that name a class, in the order of the classes; their scores and classes."""
    scores, labels = cls_logits.softmax(-1).max(-1)
    queries = labels.argsort(stable=True)
    queries = queries[labels[queries] < cls_logits.shape[-1] - 1]
    return queries, scores[queries], labels[queries]


def merge_max_static(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> Tensor:
    """What ``merge_max`` gives, for graphs: no shape depends on what the queries say.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Tensor: (C, H, W) in [0, 1].
    """
    num_classes = cls_logits.shape[-1] - 1
    scores, labels = cls_logits.softmax(-1).max(-1)
    # A query that names no object counts as background with a score of 0.
    named = labels != num_classes
    scores, labels = scores * named, labels * named
    claims = resize(mask_logits).sigmoid() * scores[:, None, None]
    merged = _best_of_each_class(claims, labels, num_classes)
    says_background = (named & (labels == 0)).any()
    background = torch.where(says_background, merged[0], background_floor(claims, scores))
    return torch.cat([background.unsqueeze(0), merged[1:]])


def _best_of_each_class(claims: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Of claims (q, H, W) the largest of each class, (C, H, W); 0 where none is of the class."""
    merged = claims.new_zeros(num_classes, *claims.shape[-2:])
    return merged.scatter_reduce_(0, labels[:, None, None].expand_as(claims), claims, "amax")


def best_of_max_static(
    cls_logits: Tensor, mask_logits: Tensor, resize: Resize
) -> tuple[Tensor, Tensor]:
    """What ``best_of_max`` gives of one frame, for graphs: no shape depends on what queries say.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Two tensors (1, H, W): scores in [0, 1] and classes, int64.
    """
    scores, labels = cls_logits.softmax(-1).max(-1)
    # Of claims that are alike the first counts, which is to be that of the first class.
    labels, queries = labels.sort(stable=True)
    # A query that names no object, which are the last, counts as background with a score of 0.
    named = labels < cls_logits.shape[-1] - 1
    scores, labels = scores[queries] * named, labels * named
    claims = resize(mask_logits[queries]).sigmoid() * scores[:, None, None]
    best, owner = claims.max(0, keepdim=True)
    floor = scores[owner] - best
    says_background = (named & (labels == 0)).any()
    nobodys = (floor >= best) & ~says_background
    return torch.where(nobodys, floor, best), labels[owner].masked_fill(nobodys, 0)


def merge_sum(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> Tensor:
    """Mask2Former's rule: sum over the queries of p_i(c) * m_i.

    Args:
        cls_logits: (Q, C + 1), the last class is no-object.
        mask_logits: (Q, h, w).
        resize: Brings mask logits (q, h, w) to the output size (q, H, W).

    Returns:
        Tensor: (C, H, W), not below 0.
    """
    probabilities = cls_logits.softmax(-1)[:, :-1]
    return torch.einsum("qc,qhw->chw", probabilities, resize(mask_logits).sigmoid())


def best_of_sum(cls_logits: Tensor, mask_logits: Tensor, resize: Resize) -> tuple[Tensor, Tensor]:
    """Of what ``merge_sum`` gives the largest score of each pixel and its class, (1, H, W) each."""
    best = merge_sum(cls_logits, mask_logits, resize).max(0, keepdim=True)
    return best.values, best.indices


@dataclass(frozen=True)
class MergeRule:
    """A rule in the forms that its users need; their arguments are those of ``merge_max``.

    Attributes:
        maps: Scores of all classes, (C, H, W).
        best: The largest score of each pixel, and its class, both (1, H, W).
        static: What ``maps`` gives, for graphs: no shape depends on what the queries say.
        best_static: What ``best`` gives, for graphs.
        best_holds_maps: Whether ``best`` holds a map (H, W) of every class.
    """

    maps: Callable[[Tensor, Tensor, Resize], Tensor]
    best: Callable[[Tensor, Tensor, Resize], tuple[Tensor, Tensor]]
    static: Callable[[Tensor, Tensor, Resize], Tensor]
    best_static: Callable[[Tensor, Tensor, Resize], tuple[Tensor, Tensor]]
    best_holds_maps: bool


MERGE_RULES = {
    "max": MergeRule(
        merge_max, best_of_max, merge_max_static, best_of_max_static, best_holds_maps=False
    ),
    "sum": MergeRule(merge_sum, best_of_sum, merge_sum, best_of_sum, best_holds_maps=True),
}
