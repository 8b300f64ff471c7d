"""The truth: which frames are scored, where their masks are and what the values mean."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from ..datasets.benchmarks.avsbench import LABEL_DIRS
from ..datasets.benchmarks.class_names import AVSS_CLASSES, BINARY_CLASSES, VPO_CLASSES
from ..datasets.benchmarks.clip_index import Clip, Frame
from ..datasets.palette import voc_palette
from ..datasets.prepare.benchmarks import NAMES, MaskRules, benchmark
from ..errors import UserError, looked_for
from ..evaluation.mask_writer import clip_parts
from .folders import list_pngs
from .plain_values import guess_rules
from .reports import classes_of

#: What ``--layout`` may say.
LAYOUTS = (*NAMES, "plain")
#: Classes by the name that ``--classes`` gives them, beside numbers and files.
CLASS_LISTS = dict(binary=BINARY_CLASSES, avss=AVSS_CLASSES, vpo=VPO_CLASSES)
#: Folders of a benchmark that hold more than masks, and lie beside its index.
_PARTS = ("s4_data", "ms3_data", "v1s", "v1m", "v2", "VPO")


@dataclass(frozen=True)
class TruthFrame:
    """One frame to score.

    Attributes:
        clip: Its clip.
        path: Mask of the truth.
        names: What a predicted mask may be called: whole paths without a suffix, of which any end
            may be what is there.
        groups: Subsets that it belongs to.
    """

    clip: str
    path: Path
    names: tuple[PurePath, ...]
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Truth:
    """All frames to score, in the order of the set.

    Attributes:
        layout: One of ``LAYOUTS``.
        root: The folder that was named.
        split: 'test', say; empty for plain folders.
        frames: At least one.
        masks: How the mask files carry classes.
        classes: Names of the C classes that are scored: the masks' own, or background and object.
        published: Published number of clips per subset, where the split has one.
    """

    layout: str
    root: Path
    split: str
    frames: tuple[TruthFrame, ...]
    masks: MaskRules
    classes: tuple[str, ...]
    published: Mapping[str, int] = field(default_factory=dict)


def find_truth(
    root: Path,
    *,
    layout: str | None = None,
    index: Path | None = None,
    split: str | None = None,
    classes: str | None = None,
) -> Truth:
    """Read the index of a benchmark, or list a folder of masks.

    Args:
        root: The data set's folder (``data_root``), or a folder with PNG masks.
        layout: One of ``LAYOUTS``; None: what the folder holds.
        index: Another index than the published one.
        split: Of a benchmark; None is 'test'.
        classes: Of plain folders: one of ``CLASS_LISTS``, a number C or a file with a name a line,
            background first. None: those of a report beside the masks, else object and background
            where the masks show that it is so.

    Raises:
        UserError: There is nothing to score, or it can't be told what.
    """
    if not root.is_dir():
        kind = "is a file; unpack it and name the folder" if root.exists() else "there is none"
        raise UserError(f"{root}: a folder is wanted as the truth: {kind}{looked_for(root)}")
    layout = layout or _layout_of(root)
    if layout == "plain":
        if split or index:
            raise UserError(
                f"{root}: --split and --index are for a benchmark with an index, and none was "
                "found; name the folder that holds it, or of the split's masks alone"
            )
        return _plain(root, classes)
    if classes and classes != "binary":
        raise UserError(
            f"--classes {classes}: the classes of {layout} are known. Leave it out, or give "
            "'binary' to score what sounds against the rest"
        )
    return _of_benchmark(root, layout, index, split or "test", merged=classes == "binary")


def _layout_of(root: Path) -> str:
    found = [name for name in NAMES if (root / benchmark(name).index).is_file()]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(f"{root} holds {', '.join(found)}: choose one by --layout")
    beside = [root.parent] if root.name in _PARTS else []
    for place in beside + sorted(path for path in root.iterdir() if path.is_dir()):
        for name in NAMES:
            if (place / benchmark(name).index).is_file():
                raise UserError(f"{root}: the index of {name} is in {place}; name that folder")
    return "plain"


def _of_benchmark(
    root: Path, layout: str, index: Path | None, split: str, *, merged: bool
) -> Truth:
    known = benchmark(layout, index)
    path = index or root / known.index
    if not path.is_file():
        raise UserError(
            f"{path}: there is no index file{looked_for(path)}. data/README.md has the tree "
            "expected; a folder of masks alone is scored with --layout plain"
        )
    if layout == "avss":
        known = benchmark(layout, index, _label_dir(known.read(root, path), split))
    clips = known.read(root, path)
    chosen = [clip for clip in clips if clip.split == split]
    frames = tuple(
        _frame(root, clip, frame, Path(frame.seg_map_path))
        for clip in chosen
        for frame in clip.frames
        if frame.seg_map_path is not None
    )
    if not frames:
        splits = ", ".join(sorted({clip.split for clip in clips}))
        raise UserError(
            f"{path}: no labelled frame of split {split!r} among its {len(clips)} clips, which are "
            f"of {splits or 'none'}. Choose another by --split"
        )
    if faults := [clip for clip in chosen if clip.fault]:
        raise UserError(
            f"{path}: clip {faults[0].clip_id}: {faults[0].fault}. Leave it out with "
            "tools/prepare_data.py check --fix-index, and give that file as --index"
        )
    names = dict(s4=BINARY_CLASSES, ms3=BINARY_CLASSES, avss=AVSS_CLASSES).get(layout, VPO_CLASSES)
    published = {"total": known.clips[split]} if split in known.clips else {}
    if split == "test":
        published |= known.sources
    return Truth(
        layout,
        root,
        split,
        frames,
        replace(known.masks, palette=voc_palette(len(names))),
        BINARY_CLASSES if merged else names,
        published,
    )


def _label_dir(clips: list[Clip], split: str) -> str:
    """Which of the folders of AVSBench-semantic's masks is there."""
    masks = (f.seg_map_path for c in clips if c.split == split for f in c.frames if f.seg_map_path)
    first = next(masks, None)
    if first is not None and not Path(first).parent.is_dir():
        for name in LABEL_DIRS:
            if (Path(first).parent.parent / name).is_dir():
                return name
    return "labels_semantic"


def _frame(root: Path, clip: Clip, frame: Frame, mask: Path) -> TruthFrame:
    folder = PurePath(clip.subset, *clip_parts(clip.clip_id))
    below = mask.relative_to(root) if mask.is_relative_to(root) else mask
    # The same kinds of names for every frame, alike or not: ``match`` tries them kind by kind.
    names = (folder / Path(frame.img_path).stem, folder / mask.stem, below.with_suffix(""))
    groups = {clip.subset} | ({clip.source} if clip.source else set())
    return TruthFrame(clip.clip_id, mask, names, frozenset(groups))


def _plain(root: Path, classes: str | None) -> Truth:
    listing = list_pngs(root)
    if not listing.pngs:
        raise UserError(f"{root}: {listing.why_none()}, and no index of a benchmark")
    nested = all(len(path.parts) > 1 for path in listing.pngs)
    clip_of: Callable[[PurePath], str] = _folder if nested else _name_without_number
    frames = tuple(
        TruthFrame(clip_of(path), root / path, (path.with_suffix(""),)) for path in listing.pngs
    )
    named = classes_of(root) if classes is None else _class_names(classes)
    if named is None:
        masks, names = guess_rules([frame.path for frame in frames])
    else:
        names = named
        encoding = "binary" if classes == "binary" else "index"
        masks = MaskRules(encoding, len(names), voc_palette(len(names)))
    return Truth("plain", root, "", frames, masks, names)


def _folder(path: PurePath) -> str:
    return path.parent.as_posix()


def _name_without_number(path: PurePath) -> str:
    """'dog_3' is a frame of 'dog'; any other name is a clip of its own."""
    return re.sub(r"(?<=.)_\d+$", "", path.with_suffix("").as_posix())


def _class_names(text: str) -> tuple[str, ...]:
    if text in CLASS_LISTS:
        return CLASS_LISTS[text]
    if text.isdecimal():
        if not 2 <= int(text) <= 255:
            raise UserError(f"--classes {text}: give 2 to 255 classes, background included")
        return ("background", *(f"class {index}" for index in range(1, int(text))))
    try:
        lines = Path(text).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        lists = ", ".join(CLASS_LISTS)
        raise UserError(
            f"--classes {text}: it is none of {lists}, no number and no file of names ({error})"
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) < len(names) or not 2 <= len(names) <= 255:
        raise UserError(
            f"{text}: {len(names)} names, {len(set(names))} of them different; write 2 to 255 "
            "different ones, one a line, background first"
        )
    return names
