"""All that a user's sources have for a set, before anything is read but lists and names."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from .candidate import Candidate, ClassNames, LeftOut
from .class_folders import read_photo_folder, read_sound_folder
from .coco_photos import read_coco
from .freesound_sets import is_esc50, is_fsd50k, read_esc50, read_fsd50k
from .splitting import hashed_place
from .writing import file_name, source_folder

_KINDS = ("photo", "sound")


@dataclass(frozen=True)
class Source:
    """Where photographs or recordings are.

    Attributes:
        kind: ``'coco'``, ``'photos'`` or ``'sounds'``.
        path: The JSON of a set in COCO's format, or a folder.
        split: Split of all of it; empty: its own, or to be drawn.
        images: Folder of the images that the JSON names.
    """

    kind: str
    path: Path
    split: str = ""
    images: Path = Path()


def collect(
    sources: Sequence[Source], class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """Photographs and recordings of all sources, in their order; and what they have of no use.

    Raises:
        UserError: A source can't be read, has another's name, or there is nothing of a class that
            is named.
    """
    found: list[Candidate] = []
    left_out: list[LeftOut] = []
    owners: dict[tuple[str, str], Source] = {}
    # FSD50K's labels overlap; it is asked last, for the classes that the others have.
    for source in sorted(sources, key=lambda one: one.kind == "sounds" and is_fsd50k(one.path)):
        candidates, others = _read(source, class_of, {one.class_name for one in found})
        for key in {(one.kind, source_folder(one.source)) for one in candidates}:
            if (other := owners.setdefault(key, source)) is not source:
                raise UserError(
                    f"{source.path} and {other.path} would both be called {key[1]!r} in the set. "
                    "Name each source once; rename one of the two if they differ."
                )
        found += candidates
        left_out += others if candidates or others else [LeftOut(source.path, "", "nothing")]
    if unknown := sorted(class_of.rename.keys() - class_of.seen):
        raise UserError(
            f"--rename: no source has a class {', '.join(unknown)}. There are: "
            f"{', '.join(sorted(class_of.seen)) or 'none'}."
        )
    classes = {one.class_name for one in found}
    if unknown := sorted((class_of.wanted or set()) - classes):
        raise UserError(
            f"--classes: there are neither photographs nor recordings of {', '.join(unknown)}. "
            f"There are: {', '.join(sorted(class_of.seen)) or 'none'}."
        )
    seen, heard = ({one.class_name for one in found if one.kind == kind} for kind in _KINDS)
    if "background" in seen & heard:
        raise UserError(
            "A class with photographs and recordings is called 'background', which is the label "
            "of all that is no object: rename it (--rename background=CLASS), or leave it out "
            "(--classes)."
        )
    # A list may name a file twice.
    once = {(one.kind, one.source, one.name, one.class_name): one for one in reversed(found)}
    return [*reversed(once.values())], left_out


def _read(
    source: Source, class_of: ClassNames, known: Collection[str]
) -> tuple[list[Candidate], list[LeftOut]]:
    path, split = source.path, source.split
    if source.kind == "coco":
        return read_coco(path, source.images, split, class_of)
    if source.kind == "photos":
        return read_photo_folder(path, split, class_of)
    if is_esc50(path):
        return read_esc50(path, split, class_of)
    if is_fsd50k(path):
        if class_of.wanted is None:
            class_of = class_of.only({*known, *class_of.rename.values()})
        return read_fsd50k(path, split, class_of)
    return read_sound_folder(path, split, class_of)


def keep_at_most(candidates: Iterable[Candidate], number: int) -> list[Candidate]:
    """So many photographs, and so many recordings, of each class: those of the lowest hashes.

    What comes from one photograph or source recording has one hash, in all its classes.
    """
    of_class: dict[tuple[str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        of_class[one.kind, one.class_name].append(one)
    kept = []
    for all_ in of_class.values():
        # Not the hash that draws the split: the lowest of those are all in one.
        all_.sort(key=lambda one: hashed_place(f"keep {one.origin}"))
        kept += all_[:number]
    return kept


def without(
    candidates: Iterable[Candidate], names: Collection[str]
) -> tuple[list[Candidate], list[LeftOut]]:
    """Those whose files' names don't end as one of ``names``, and those that do."""
    endings = tuple(names)
    kept, excluded = [], []
    for one in candidates:
        if endings and file_name(one).endswith(endings):
            excluded.append(LeftOut(one.path, one.class_name, "excluded"))
        else:
            kept.append(one)
    return kept, excluded
