"""All frames of a set: files into counts by clip, and a list of what was wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath

from ..datasets.threads import results_of
from ..errors import UserError
from ..evaluation.mask_writer import PROBABILITY
from ..evaluation.streaming import Counts, Sums, add_sums
from .folders import Listing, list_pngs
from .frames import FrameFiles, Problem, Rules, score_frame
from .matching import match
from .threads import WORKERS
from .truth import Truth


@dataclass(frozen=True)
class ClipCounts:
    """Sums of a clip's frames.

    Attributes:
        name: The clip.
        groups: Subsets that it belongs to.
        frames: Frames scored.
        counts: For 'dataset' and 'avsbench'.
        foreground: For the third family.
    """

    name: str
    groups: frozenset[str]
    frames: int
    counts: Counts
    foreground: Counts


@dataclass(frozen=True)
class Scored:
    """One folder of masks, held against the truth.

    Attributes:
        folder: The predictions.
        clips: In the order of the set; every frame of the truth is in one.
        problems: Frames whose masks were of no use, in the same order.
        extra: PNG files that belong to no frame.
        listing: Everything that the folder holds.
        example: How the masks' names were looked for.
        probability: Folder of the grey maps that were used, or None.
    """

    folder: Path
    clips: tuple[ClipCounts, ...]
    problems: tuple[Problem, ...]
    extra: tuple[PurePath, ...]
    listing: Listing
    example: str
    probability: Path | None

    @property
    def frames(self) -> int:
        return sum(clip.frames for clip in self.clips)


def score_set(
    truth: Truth, folder: Path, rules: Rules, *, probability: Path | None = None
) -> Scored:
    """Score a folder of predicted masks.

    Args:
        truth: Frames to score.
        folder: PNG masks.
        rules: How.
        probability: Folder of grey maps of the object's probability, for the F curve of two
            classes. None: ``folder / 'probability'``, which tools/test.py --out writes, if it is
            there and two classes are scored, else the masks themselves.

    Raises:
        UserError: No mask could be used, or the truth or a grey map can't be.
    """
    _check_truth(truth)
    if probability is None and _takes_grey(truth, rules) and (folder / PROBABILITY).is_dir():
        probability = folder / PROBABILITY
    listing = list_pngs(folder, without=(PROBABILITY,))
    matching = match(truth.frames, listing)
    greys = _grey_maps(truth, probability, matching.paths)
    files = [
        FrameFiles(frame, path, grey)
        for frame, path, grey in zip(truth.frames, matching.paths, greys, strict=True)
    ]
    sums: dict[str, Sums] = {}
    problems = []
    work = partial(score_frame, truth=truth, rules=rules)
    with results_of(work, files, workers=WORKERS, title=f"Scoring {folder.name}") as results:
        for item, result in zip(files, results, strict=True):
            counted = {("", "counts"): result.counts, ("", "foreground"): result.foreground}
            add_sums(sums.setdefault(item.frame.clip, {}), {**counted, ("", "n"): dict(frames=1)})
            if result.problem is not None:
                problems.append(result.problem)
    if len(problems) == len(files):
        raise UserError(
            f"{folder}: none of the {len(files)} frames has a usable mask. The first, "
            f"{problems[0].path}: {problems[0].reason}"
        )
    groups = {frame.clip: frame.groups for frame in truth.frames}
    clips = tuple(
        ClipCounts(
            name, groups[name], one["", "n"]["frames"], one["", "counts"], one["", "foreground"]
        )
        for name, one in sums.items()
    )
    return Scored(
        folder, clips, tuple(problems), matching.extra, listing, matching.example, probability
    )


def _takes_grey(truth: Truth, rules: Rules) -> bool:
    return len(truth.classes) == 2 and rules.encoding != "grey"


def _check_truth(truth: Truth) -> None:
    """Before the work: a truth that is not whole gives scores that compare with nothing."""
    missing = [frame.path for frame in truth.frames if not frame.path.is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(truth.frames)} masks of the truth are missing, the first "
            f"is {missing[0]}. tools/prepare_data.py check finds all such files and writes an "
            "index without them (--fix-index), which --index takes"
        )


def _grey_maps(
    truth: Truth, folder: Path | None, paths: Sequence[Path | None]
) -> Sequence[Path | None]:
    """The grey map of every frame that has a mask."""
    if folder is None:
        return [None] * len(paths)
    greys = match(truth.frames, list_pngs(folder)).paths
    bare = [path for path, grey in zip(paths, greys, strict=True) if path and grey is None]
    if bare:
        raise UserError(
            f"{folder}: {len(bare)} masks have no grey map in it, the first is {bare[0]}. Write "
            "the probabilities of all frames, or of none"
        )
    return greys
