"""Scores of the whole set, its subsets and its clips."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..evaluation.frame_counts import PROTOCOLS
from ..evaluation.report import ScoreRow
from ..evaluation.set_scores import batch_scores, score_row, with_mean
from ..evaluation.streaming import Counts, Sums, add_sums
from .frames import FOREGROUND
from .whole_set import ClipCounts

TOTAL = "total"


def summarise(
    clips: Sequence[ClipCounts], protocols: Sequence[str], *, legacy_batch: int | None = None
) -> list[ScoreRow]:
    """One row per subset and protocol, in percent; the whole set first.

    Args:
        clips: All clips, in the order of the set.
        protocols: Of 'dataset', 'avsbench' and 'foreground'.
        legacy_batch: Also score J and F of 'avsbench' as scripts with K clips a batch do; for two
            classes.
    """
    rows = [
        subset_row(protocol, name, members)
        for name, members in subsets(clips).items()
        for protocol in protocols
    ]
    if legacy_batch is not None:
        scores = batch_scores([clip.counts for clip in clips], legacy_batch)
        row = next(row for row in rows if row.protocol == "avsbench")
        row.scores.update(
            {f"{name}_batch{legacy_batch}": 100 * value for name, value in scores.items()}
        )
    return rows


def subsets(clips: Sequence[ClipCounts]) -> dict[str, list[ClipCounts]]:
    """Clips by subset: all of them, and groups that are not all of them."""
    found = {TOTAL: list(clips)}
    for name in sorted({name for clip in clips for name in clip.groups}):
        members = [clip for clip in clips if name in clip.groups]
        if len(members) < len(clips):
            found[name] = members
    return found


def subset_row(protocol: str, name: str, clips: Sequence[ClipCounts]) -> ScoreRow:
    """Scores of some clips under one protocol."""
    if protocol in PROTOCOLS:
        return score_row(protocol, name, sum_counts([clip.counts for clip in clips]), len(clips))
    scores = with_mean(batch_scores([clip.foreground for clip in clips], batch=1))
    return ScoreRow(
        protocol,
        name,
        sum(clip.frames for clip in clips),
        len(clips),
        {key: 100 * value for key, value in scores.items()},
    )


def clip_scores(clip: ClipCounts, protocols: Sequence[str]) -> Mapping[str, float]:
    """Scores of one clip in percent, by 'protocol/score'.

    With more than two classes those count that the clip shows or is predicted to show, and no
    other: of 71 classes a clip has one or two.
    """
    scores: dict[str, float] = {}
    for protocol in protocols:
        row = subset_row(protocol, clip.name, [clip])
        if protocol == FOREGROUND or not row.per_class:
            names = row.scores
        else:
            names = {name: _mean(values) for name, values in row.per_class.items()}
            kept = "mIoU" if protocol == "dataset" else "J"
            names = {kept: names["IoU"], "F": names["F"]}
            if protocol == "avsbench":
                names = with_mean(names)
        scores |= {f"{protocol}/{name}": value for name, value in names.items()}
    return scores


def sum_counts(counts: Sequence[Counts]) -> Counts:
    """Counts of several clips together."""
    sums: Sums = {}
    for one in counts:
        add_sums(sums, {("", ""): one})
    return sums["", ""]


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")
