"""The splits of a set's photographs or recordings, after near-duplicates have been looked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from ..composed.index import Item
from .candidate import LeftOut
from .photo_fingerprint import near_photos, photo_fingerprint
from .sound_fingerprint import near_sounds, sound_fingerprint
from .splitting import Member, draw_splits, group_numbers
from .writing import Written

T = TypeVar("T")


@dataclass(frozen=True)
class Parted:
    """Photographs or recordings with their splits.

    Attributes:
        items: Those that stay, as the index has them.
        left_out: Those that are near-duplicates of what the sources put into another split.
        near: Number of pairs of near-duplicates that the sources don't tell of.
    """

    items: list[Item]
    left_out: list[LeftOut]
    near: int


def part(
    kind: str,
    items: Sequence[Written],
    root: Path,
    shares: Mapping[str, float],
    earlier: Mapping[tuple[str, str], str],
) -> Parted:
    """Give each its split, see ``draw_splits``.

    Args:
        kind: ``'photo'`` or ``'sound'``.
        items: All of this kind.
        root: The set's folder.
        shares: Split -> its share.
        earlier: (file, class) -> its split in an earlier run.
    """
    files = sorted({item.file for item in items})
    pairs = near_duplicates(kind, [root / name for name in files])
    one_of = {item.file: number for number, item in enumerate(items)}
    links = [(one_of[files[i]], one_of[files[j]]) for i, j in pairs]
    groups = group_numbers([item.candidate.origin for item in items], links)
    members = [
        Member(
            class_name=item.candidate.class_name,
            origin=item.candidate.origin,
            given=item.candidate.split,
            earlier=earlier.get((item.file, item.candidate.class_name), ""),
        )
        for item in items
    ]
    splits = draw_splits(members, groups, shares)
    kept = [item.item(root, split) for item, split in zip(items, splits, strict=True) if split]
    # Of each group one whose own split the group is in.
    holders = {
        g: i for g, i, s in zip(groups, items, splits, strict=True) if s == i.candidate.split
    }
    left_out = []
    for item, group, split in zip(items, groups, splits, strict=True):
        if not split:
            holder, candidate = holders[group].candidate, item.candidate
            twin = f"{holder.path} is in {holder.split}"
            left_out.append(LeftOut(candidate.path, candidate.class_name, "shared", twin))
    near = sum(items[i].candidate.origin != items[j].candidate.origin for i, j in links)
    return Parted(kept, left_out, near)


def near_duplicates(kind: str, files: Sequence[Path]) -> list[tuple[int, int]]:
    """Pairs (i, j) of files that are one photograph, or one recording.

    Args:
        kind: ``'photo'`` or ``'sound'``.
        files: Of a set, all of this kind.

    Raises:
        BadSampleError: A file can't be read.
    """
    if kind == "photo":
        photos = [photo_fingerprint(path) for path in _watched(files, "Comparing photographs")]
        return [*near_photos(photos)]
    sounds = [sound_fingerprint(path) for path in _watched(files, "Comparing recordings")]
    return [*near_sounds(sounds)]


def _watched(all_: Sequence[T], title: str) -> Iterable[T]:
    return track(all_, title, console=Console(stderr=True))
