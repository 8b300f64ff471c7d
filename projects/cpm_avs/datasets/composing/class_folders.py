"""Plain folders: one of pictures or of sounds a class, by split if the user has one."""

import re
from collections.abc import Collection, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...media.kinds import visible
from ...structures import BadSampleError
from ..avs_dataset import SPLITS
from .candidate import NOT_STATED, Candidate, ClassNames, LeftOut
from .pictures import read_instances

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".avif", ".gif"}
SOUNDS = {
    ".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".au",
    ".wma", ".mp4", ".mkv", ".webm", ".mov",
}  # fmt: skip
#: Names by which files of Freesound go: its own downloads', ESC-50's, UrbanSound8K's.
_FREESOUND = re.compile(r"(\d+)__\w.*|[1-5]-(\d+)-[A-Z](?:-\d+)?|(\d+)-\d+-\d+-\d+")
_MASK = "_mask"  # at the end of a mask's name


def read_photo_folder(
    root: Path, split: str, class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """Photographs and cut-outs of a folder with one folder a class.

    NAME.jpg has its mask in NAME.png or NAME_mask.png; a picture without a mask is a cut-out, an
    RGBA PNG. Files may lie deeper.

    Args:
        root: Folder of the classes, or of train, val and test with those of the classes in them.
        split: Split of all of them; empty: their folders', or to be drawn.
        class_of: Classes of the folders' names.
    """
    found, left_out = [], []
    for folder, split_, name, files, others in _classes(root, split, class_of, PICTURES):
        left_out += [LeftOut(path, name, "unknown_file") for path in others]
        masks = _masks(files)
        taken = set(masks.values())
        for path in (one for one in files if one not in taken):
            photo = _candidate("photo", name, path, root, folder, split_)
            if (mask := masks.get(path)) is not None:
                photo = replace(photo, made_from=(mask,), instances=partial(read_instances, mask))
            found.append(photo)
    return found, left_out


def read_sound_folder(
    root: Path, split: str, class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """Recordings of a folder with one folder a class; arguments as in ``read_photo_folder``."""
    found, left_out = [], []
    for folder, split_, name, files, others in _classes(root, split, class_of, SOUNDS):
        left_out += [LeftOut(path, name, "unknown_file") for path in others]
        for path in files:
            sound = _candidate("sound", name, path, root, folder, split_)
            if (number := freesound_id(path.stem)) is not None:
                sound = replace(sound, origin=freesound_origin(number))
            found.append(sound)
    return found, left_out


def _candidate(
    kind: str, class_name: str, path: Path, root: Path, folder: Path, split: str
) -> Candidate:
    """A file of a class's folder; its origin is the file itself."""
    source, name = root.resolve().name, str(path.relative_to(root))
    return Candidate(
        kind=kind,
        class_name=class_name,
        path=path,
        source=source,
        name=name,
        origin=f"{source}/{name}",
        licence=stated_licence(folder, root),
        split=split,
    )


def freesound_id(stem: str) -> str | None:
    """Number of the recording on Freesound that a file's name tells, if it does.

    >>> freesound_id("1-100032-A-0"), freesound_id("5034__sagetyrtle__dog"), freesound_id("dog_1")
    ('100032', '5034', None)
    """
    found = _FREESOUND.fullmatch(stem)
    return next(filter(None, found.groups())) if found else None


def freesound_origin(number: str) -> str:
    """Origin of all that was cut from a recording of Freesound, in whatever set."""
    return f"freesound/{number}"


def stated_licence(*folders: Path) -> str:
    """First line of the first LICENSE or LICENCE (.txt, .md) in these folders."""
    for folder in folders:
        for path in sorted(folder.glob("LICEN[CS]E*")):
            lines = path.read_text(errors="replace").splitlines()
            if stated := next((line.strip("# \t") for line in lines if line.strip("# \t")), ""):
                return stated
    return NOT_STATED


def _classes(
    root: Path, split: str, class_of: ClassNames, suffixes: Collection[str]
) -> Iterator[tuple[Path, str, str, list[Path], list[Path]]]:
    """Folder, split and name of each wanted class, its files, and those of other kinds."""
    if not root.is_dir():
        raise BadSampleError(root, "there is no such folder", "Name one with a folder a class")
    tops = _folders(root)
    if not tops:
        raise BadSampleError(root, "it holds no folders", "Put the files in a folder a class")
    has_splits = all(top.name in SPLITS for top in tops)
    parents = [(top, split or top.name) for top in tops] if has_splits else [(root, split)]
    for parent, split_ in parents:
        for folder in _folders(parent):
            if (name := class_of(folder.name)) is None:
                continue
            files = [one for one in visible(sorted(folder.rglob("*"))) if one.is_file()]
            files = [one for one in files if not re.match(r"LICEN[CS]E|README", one.name)]
            ours = [one for one in files if one.suffix.lower() in suffixes]
            yield folder, split_, name, ours, [one for one in files if one not in set(ours)]


def _folders(parent: Path) -> list[Path]:
    return [one for one in visible(sorted(parent.iterdir())) if one.is_dir()]


def _masks(files: list[Path]) -> dict[Path, Path]:
    """Photograph -> its mask, beside it."""
    pngs = {path.with_suffix(""): path for path in files if path.suffix.lower() == ".png"}
    masks = {}
    for path in files:
        beside = [path.with_name(path.stem + end) for end in (_MASK, "")]
        if mask := next((pngs[one] for one in beside if pngs.get(one, path) != path), None):
            masks[path] = mask
    return masks
