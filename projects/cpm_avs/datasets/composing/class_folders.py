"""Plain folders: one of pictures or of sounds a class, by split if the user has one."""

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...errors import BadSampleError
from ...media.kinds import kind_of, visible
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
#: What other sets call their folders of splits.
_CALLED_OTHERWISE = ("valid", "validation", "eval", "evaluation", "dev", "training", "testing")
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
    for folder, split_, name, files, others in _classes(root, split, class_of, "picture"):
        left_out += others
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
    for folder, split_, name, files, others in _classes(root, split, class_of, "sound"):
        left_out += others
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
        for path in sorted(filter(Path.is_file, folder.glob("LICEN[CS]E*"))):
            lines = path.read_text(errors="replace").splitlines()
            if stated := next((line.strip("# \t") for line in lines if line.strip("# \t")), ""):
                return stated
    return NOT_STATED


def _classes(
    root: Path, split: str, class_of: ClassNames, kind: str
) -> Iterator[tuple[Path, str, str, list[Path], list[LeftOut]]]:
    """Folder, split and name of each wanted class, its files of a kind, and what is of no use."""
    if not root.is_dir():
        raise BadSampleError(root, "there is no such folder", "Name one with a folder a class")
    tops = _folders(root)
    if not tops:
        raise BadSampleError(root, "it holds no folders", "Put the files in a folder a class")
    names = {top.name.lower() for top in tops}
    if names & {*SPLITS} and names <= {*SPLITS, *_CALLED_OTHERWISE} and not names <= {*SPLITS}:
        reason = f"its folders are {', '.join(sorted(names))}"
        raise BadSampleError(root, reason, f"Call those of splits {', '.join(SPLITS)}")
    has_splits = all(top.name in SPLITS for top in tops)
    parents = [(top, split or top.name) for top in tops] if has_splits else [(root, split)]
    for parent, split_ in parents:
        for folder in _folders(parent):
            if (name := class_of(folder.name)) is None:
                continue
            files = [one for one in _below(folder) if not re.match(r"LICEN[CS]E|README", one.name)]
            ours = [one for one in files if _is(one, kind)]
            others = [LeftOut(one, name, "unknown_file") for one in files if one not in set(ours)]
            if not files:
                others.append(LeftOut(folder, name, "nothing"))
            yield folder, split_, name, ours, others


def _below(folder: Path) -> list[Path]:
    """Files in a folder and its folders; links to others are followed, but into no circle."""
    found, seen = [], set()
    for place, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [one.name for one in visible(map(Path, folders))]
        found += [Path(place, one.name) for one in visible(map(Path, names))]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error  # os.walk would leave the folder out without a word


def _is(path: Path, kind: str) -> bool:
    """Whether a file is a picture, or a sound: by its suffix, or else by who decodes it."""
    if not path.exists():
        return path.is_symlink()  # to what is missing, which is told
    if path.suffix.lower() in (PICTURES if kind == "picture" else SOUNDS):
        return path.is_file()
    try:
        found = kind_of(path)
    except BadSampleError:
        return False
    return found == kind or (found, kind) == ("video", "sound")


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
