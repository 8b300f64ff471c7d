"""PNG files of a folder, whatever else lies about in it."""

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePath

from ..errors import UserError, looked_for

#: Pictures that keep a mask's values no better than PNG does, or not at all.
_LOSSY = {".jpg", ".jpeg", ".webp"}


@dataclass(frozen=True)
class Listing:
    """What a folder holds; paths from it on, in order.

    Attributes:
        root: The folder.
        pngs: Files whose names end in .png, in any case.
        hidden: Files that systems and editors leave behind, as a Mac's '._1.png'.
        others: Other files.
    """

    root: Path
    pngs: tuple[PurePath, ...]
    hidden: tuple[PurePath, ...]
    others: tuple[PurePath, ...]

    def why_none(self) -> str:
        """Part of a sentence, for where there is no PNG."""
        if not self.others:
            empty = "it holds hidden files alone" if self.hidden else "it is empty"
            return f"{empty}; PNG masks are wanted"
        suffixes = Counter(path.suffix.lower() or "no suffix" for path in self.others)
        found = ", ".join(f"{number} of {suffix}" for suffix, number in suffixes.most_common(3))
        lossy = " (JPEG changes values: let the method write PNG)" if _LOSSY & set(suffixes) else ""
        return f"no PNG mask among its files ({found}){lossy}"


def list_pngs(root: Path, *, without: Collection[str] = ()) -> Listing:
    """All files below a folder, linked ones included.

    Args:
        root: The folder.
        without: Folders in it that are left out.

    Raises:
        UserError: There is no such folder.
    """
    if not root.is_dir():
        kind = "it is a file; unpack it" if root.exists() else "there is no such folder"
        raise UserError(f"{root}: {kind}{looked_for(root)}")
    pngs: list[PurePath] = []
    hidden: list[PurePath] = []
    others: list[PurePath] = []
    seen = set()  # a link may lead back up
    for place, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        below = Path(place).relative_to(root)
        skipped = without if place == str(root) else ()
        folders[:] = sorted(name for name in folders if name not in skipped)
        for name in files:
            path = PurePath(below / name)
            if any(_is_hidden(part) for part in path.parts):
                hidden.append(path)
            else:
                (pngs if path.suffix.lower() == ".png" else others).append(path)
    return Listing(root, *(tuple(sorted(paths)) for paths in (pngs, hidden, others)))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
