"""What may come into a set: a photograph of one class or a recording, and why it may not."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...errors import UserError

#: (height, width) of a photograph -> (height, width) uint8, instances numbered from 1, 0 the rest.
InstanceMap = Callable[[int, int], NDArray[np.uint8]]
#: What is said of a licence that no file of the source names.
NOT_STATED = "not stated"

_LONGEST_CLASS = 100  # bytes, of the name of a file that has more in it

#: Why something is left out.
REASONS = {
    "missing": "the file is missing",
    "unreadable": "the file can't be decoded",
    "no_mask": "a picture with neither a mask nor transparent pixels",
    "bad_mask": "its mask can't be used",
    "wrong_size": "its mask has another size",
    "small_object": "the largest object of the class is too small",
    "crowd": "a region of the class is marked as a crowd, whose objects nobody counted",
    "silent": "the recording is silent",
    "short": "the recording is too short",
    "several_classes": "more than one of the set's classes is heard",
    "shared": "a near-duplicate of what another split has, by the sources' own splits",
    "excluded": "named in the file of --exclude",
    "outside": "its name in the source's list is none of a file in the source's folder",
    "nothing": "a source, or a folder of a class, without anything of the classes",
    "unknown_file": "a file that is neither a picture nor a sound, or in no class's folder",
}


class Unusable(Exception):
    """A candidate can't be used: one of ``REASONS``, and what was found."""

    def __init__(self, reason: str, detail: str = "") -> None:
        assert reason in REASONS
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class LeftOut:
    """Something that didn't come into the set.

    Attributes:
        path: The file.
        class_name: Its class; empty where it has none.
        reason: One of ``REASONS``.
        detail: What was found.
    """

    path: Path
    class_name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True)
class Candidate:
    """A photograph with what it shows of one class, or a recording.

    Attributes:
        kind: ``'photo'`` or ``'sound'``.
        class_name: What is seen or heard.
        path: The picture or the sound.
        source: Name of the set it comes from.
        name: What tells it apart within its source, such as its path there.
        origin: The photograph or the source recording that it is, or is a part of. What has one
            origin is never parted into two splits.
        licence: As the source states it.
        split: The source's own; empty where it has none.
        made_from: Files besides ``path`` that a change of would make another mask.
        instances: The mask of a photograph; None for a cut-out and for a sound.
    """

    kind: str
    class_name: str
    path: Path
    source: str
    name: str
    origin: str
    licence: str = NOT_STATED
    split: str = ""
    made_from: tuple[Path, ...] = ()
    instances: InstanceMap | None = None


class ClassNames:
    """Names of the sources' classes -> classes of the set.

    Args:
        rename: Name in a source -> class of the set.
        wanted: Classes of the set that are wanted; None: all.
    """

    def __init__(
        self, rename: Mapping[str, str] | None = None, wanted: Collection[str] | None = None
    ) -> None:
        self.rename = {tidy(old): tidy(new) for old, new in (rename or {}).items()}
        self.wanted = None if wanted is None else {tidy(name) for name in wanted}
        self.seen: set[str] = set()

    def only(self, wanted: Collection[str]) -> "ClassNames":
        """The same names, of which no others than these are wanted."""
        narrowed = ClassNames(self.rename, wanted)
        narrowed.seen = self.seen
        return narrowed

    def __call__(self, name: str) -> str | None:
        """The class that a source's class belongs to; None: it isn't wanted."""
        try:
            name = tidy(name)
        except UserError:
            if self.wanted is None:
                raise
            return None
        self.seen.add(name)
        name = self.rename.get(name, name)
        return name if self.wanted is None or name in self.wanted else None


def tidy(name: str) -> str:
    """One way of writing for all sources, fit for the name of a file.

    >>> tidy("Cell phone"), tidy("Keyboard_(musical)")
    ('cell_phone', 'keyboard_musical')
    """
    tidied = re.sub(r"[\W_]+", "_", name.lower()).strip("_")
    if not tidied:
        raise UserError(
            f"A class is called {name!r}: give it a name with letters or digits, or choose others "
            "by --classes."
        )
    if len(tidied.encode()) > _LONGEST_CLASS:
        raise UserError(
            f"A class is called {name[:40]!r}..., by more than {_LONGEST_CLASS} bytes: give it a "
            "shorter name, or choose others by --classes."
        )
    return tidied
