"""Which predicted mask belongs to which frame, by its name."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..errors import UserError
from .folders import Listing
from .truth import TruthFrame

_Key = tuple[str, ...]


@dataclass(frozen=True)
class Matching:
    """Files by frame.

    Attributes:
        paths: A file for each frame, or None.
        extra: PNG files that belong to no frame, from the folder on.
        example: A name in the way that all have been looked for.
    """

    paths: tuple[Path | None, ...]
    extra: tuple[PurePath, ...]
    example: str


def match(frames: Sequence[TruthFrame], listing: Listing) -> Matching:
    """Find each frame's mask; all are looked for in the same way, in which most are found.

    A file's path may begin with folders of its own and leave out some of the truth's, as long as
    what is left tells the frames apart: 'out/test/dog/dog_1.png' or 'dog_1.png' for
    's4_data/gt_masks/test/barking/dog/dog_1.png'.

    Raises:
        UserError: There is no PNG file, no name fits, or two files have the name of one frame.
    """
    if not listing.pngs:
        raise UserError(f"{listing.root}: {listing.why_none()}")
    best: dict[_Key, list[PurePath]] = {}
    way: list[_Key] = []
    tried = list(_ways(frames))
    for keys in tried:
        found = _by_key(listing.pngs, keys)
        if len(found) > len(best):
            best, way = found, keys
    if not best:
        wanted = sorted({f"{'/'.join(keys[0])}.png" for keys in tried}, key=len)
        raise UserError(
            f"{listing.root}: none of its {len(listing.pngs)} PNG files has the name of a frame of "
            f"the truth. The first frame's may be {' or '.join(wanted[:4])}, in any folder; the "
            f"first file is {listing.pngs[0]}"
        )
    for files in best.values():
        if len(files) > 1:
            raise UserError(
                f"{listing.root}: {files[0]} and {files[1]} have the name of one frame; name the "
                "folder of one of them"
            )
    paths = tuple(listing.root / best[key][0] if key in best else None for key in way)
    used = {files[0] for files in best.values()}
    extra = tuple(path for path in listing.pngs if path not in used)
    return Matching(paths, extra, f"{'/'.join(way[0])}.png")


def _ways(frames: Sequence[TruthFrame]) -> Iterator[list[_Key]]:
    """Names of all frames that tell them apart, the longest ones first."""
    ways = []
    for names in zip(*(frame.names for frame in frames), strict=True):
        longest = max(len(name.parts) for name in names)
        ways += [[name.parts[-length:] for name in names] for length in range(1, longest + 1)]
    unique = [keys for keys in ways if max(Counter(keys).values()) == 1]
    yield from sorted(unique, key=lambda keys: -len(keys[0]))


def _by_key(pngs: Sequence[PurePath], keys: Sequence[_Key]) -> dict[_Key, list[PurePath]]:
    """The files whose paths end in a key, by key."""
    wanted, lengths = set(keys), sorted({len(key) for key in keys}, reverse=True)
    found: dict[_Key, list[PurePath]] = {}
    for path in pngs:
        parts = (*path.parts[:-1], path.stem)
        for length in lengths:
            if (key := parts[-length:]) in wanted:
                found.setdefault(key, []).append(path)
                break
    return found
