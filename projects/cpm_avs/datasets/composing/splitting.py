"""Which split a photograph or a recording goes to: all of one origin to one, drawn by a hash.

A hash of a group's own name decides, so that neither the order nor the number of others matters.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..avs_dataset import SPLITS

#: Where a group's splits contradict each other, the last one of these that it has counts: better to
#: train on less than to test on what was trained on.
_FIRM = ("train", "val", "test")


@dataclass(frozen=True)
class Member:
    """What is known of a photograph of one class, or of a recording, when splits are drawn.

    Attributes:
        class_name: Its class.
        origin: The photograph or source recording that it comes from.
        given: The split that its source gives it; empty if none.
        earlier: The split that it had in an earlier run; empty if none.
    """

    class_name: str
    origin: str
    given: str = ""
    earlier: str = ""


def group_numbers(origins: Sequence[str], pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Number of the group of each: what has one origin, or is joined by pairs, is one group.

    >>> group_numbers(["a", "b", "a", "c", "d"], [(1, 3)])
    [0, 1, 0, 1, 2]
    """
    first: dict[str, int] = {}
    links = [(first.setdefault(origin, i), i) for i, origin in enumerate(origins)]
    rows, columns = np.array([*links, *pairs], int).reshape(-1, 2).T
    ones = np.ones(len(rows), bool)
    graph = coo_array((ones, (rows, columns)), shape=(len(origins), len(origins)))
    return connected_components(graph, directed=False)[1].tolist()


def hashed_place(name: str) -> float:
    """A number in [0, 1) that stands for a name, evenly spread over names."""
    return (
        int.from_bytes(hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:6], "big")
        / 2**48
    )


def draw_splits(
    members: Sequence[Member], groups: Sequence[int], shares: Mapping[str, float]
) -> list[str]:
    """Split of each; empty for what has to be left out.

    A group goes where its members' sources put them, else where it was before, else where its hash
    falls. A class with as many groups as there are splits gets one into each, if moving those that
    a hash has put somewhere can do it. Where sources put members of a group into several splits,
    those of all but the test split, or else the validation split, have to be left out.

    Args:
        members: Of one kind, photographs or recordings.
        groups: Number of the group of each.
        shares: Split -> its share of the groups; they sum to 1.
    """
    of_group: dict[int, list[Member]] = defaultdict(list)
    for member, group in zip(members, groups, strict=True):
        of_group[group].append(member)
    splits, movable = {}, {}
    for group, all_ in of_group.items():
        settled = _last(one.given for one in all_) or _last(one.earlier for one in all_)
        hashed = hashed_place(min(one.origin for one in all_))
        splits[group] = settled or _at(hashed, shares)
        if not settled:
            movable[group] = hashed
    _fill(splits, movable, {g: {one.class_name for one in m} for g, m in of_group.items()}, shares)
    return [
        "" if member.given not in ("", splits[group]) else splits[group]
        for member, group in zip(members, groups, strict=True)
    ]


def _last(splits: Iterable[str]) -> str:
    return max(splits, key=lambda one: _FIRM.index(one) if one else -1, default="")


def _at(position: float, shares: Mapping[str, float]) -> str:
    """The split in whose part of [0, 1) a position lies."""
    for split, (_, end) in _parts(shares).items():
        if position < end:
            return split
    return max(shares, key=lambda split: shares[split])  # shares that sum to a little less than 1


def _parts(shares: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Split -> where its part of [0, 1) begins and ends."""
    wanted = [split for split in SPLITS if shares[split] > 0]
    ends = np.cumsum([shares[split] for split in wanted]).tolist()
    return dict(zip(wanted, zip([0.0, *ends[:-1]], ends, strict=True), strict=True))


def _fill(
    splits: dict[int, str],
    movable: Mapping[int, float],
    classes: Mapping[int, set[str]],
    shares: Mapping[str, float],
) -> None:
    """Move groups into splits that a class with enough of them lacks, in place.

    The group goes whose hash is nearest to the split's part, if no class loses its last one there.
    """
    parts = _parts(shares)
    of_class: dict[str, list[int]] = defaultdict(list)
    for group, names in classes.items():
        for name in names:
            of_class[name].append(group)
    number = Counter((name, splits[group]) for group, names in classes.items() for name in names)
    for name in sorted(of_class):
        if len(of_class[name]) < len(parts):
            continue
        for split, (begin, end) in parts.items():
            if number[name, split]:
                continue
            free = [
                (max(begin - movable[group], movable[group] - end), group)
                for group in of_class[name]
                if group in movable
                and all(number[other, splits[group]] > 1 for other in classes[group])
            ]
            if not free:
                continue
            moved = min(free)[1]
            for other in classes[moved]:
                number[other, splits[moved]] -= 1
                number[other, split] += 1
            splits[moved] = split
