"""Findings of a video's pieces joined to one report, as if it had been segmented in one go."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from ..inference.timeline import Run, RunJoiner
from .pieces import Finding


def join(findings: Sequence[Finding]) -> dict[str, Any]:
    """The video's row, see ``schemas.VIDEOS``.

    Args:
        findings: Of all pieces of the video, in any order. Of a video with a broken piece, what the
            others have counts, and the first error.
    """
    findings = sorted(findings, key=lambda one: one.piece.index)
    duration = max(one.duration for one in findings)
    joiner = RunJoiner(duration)
    for run in sorted(_joined_runs(findings), key=lambda run: run.start):
        joiner.add(run)
    errors = [one.error for one in findings if one.error is not None]
    return dict(
        video=findings[0].piece.video.name,
        path=findings[0].piece.video.path,
        duration=duration,
        frames=sum(one.frames for one in findings),
        sounding=[asdict(segment) for segment in joiner.segments()],
        error=errors[0] if errors else None,
    )


def _joined_runs(findings: Sequence[Finding]) -> Iterator[Run]:
    """Runs that go on in the next piece are one."""
    going: dict[int, Run] = {}
    shown_until = _next_shown(findings)
    for finding, until in zip(findings, shown_until, strict=True):
        for run in sorted(finding.runs, key=lambda run: run.start):
            # A piece's last frame is shown until the next piece has one.
            end = until if run.end == finding.piece.end else run.end
            run = replace(run, end=end)
            earlier = going.get(run.label)
            if earlier is not None and earlier.flickers_to(run.start):
                earlier.extend(run)
                continue
            going[run.label] = run
            if earlier is not None:
                yield earlier
    yield from going.values()


def _next_shown(findings: Sequence[Finding]) -> list[float]:
    """Second at which each piece's last frame makes room: to another, a broken piece or the end."""
    until, found = math.nan, []
    for finding in reversed(findings):
        found.append(finding.piece.end if math.isnan(until) else until)
        if finding.error is not None:
            until = finding.piece.start
        elif finding.first_shown is not None:
            until = finding.first_shown
    return found[::-1]
