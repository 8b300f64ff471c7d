"""What a worker does: the model loaded once, then piece after piece, in memory that stays flat."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av
import pyarrow as pa

from ..inference import AVSInferencer
from ..inference.clip import Clip, video_clip
from ..inference.results import FrameResult
from ..inference.timeline import Run, RunFinder
from . import run_lengths
from .pieces import Finding, Piece, cut
from .schemas import MASKS

#: What a broken file raises; whatever else goes wrong may be the worker's own fault.
_OF_THE_FILE = (ValueError, OSError, av.error.FFmpegError)


@dataclass(frozen=True)
class Job:
    """What is to be done with each video; the same on all workers.

    Attributes:
        config: As in ``AVSInferencer``.
        checkpoint: As in ``AVSInferencer``; workers on other machines find it at the same place.
        fps: Frames that are segmented in a second; None: all.
        piece: Seconds of a piece of a long video.
        silent_ok: Whether a video without sound is taken as silent.
        batch_size: Frames that go through the model together.
        precision: As in ``AVSInferencer``.
        recorded: As in ``AVSInferencer``.
    """

    config: str | None
    checkpoint: Path
    fps: float | None
    piece: float
    silent_ok: bool
    batch_size: int
    precision: str
    recorded: bool


class Worker:
    """A model and what it does with a piece.

    Args:
        job: What is to be done.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self._inferencer = AVSInferencer(
            job.config,
            job.checkpoint,
            batch_size=job.batch_size,
            precision=job.precision,
            recorded=job.recorded,
        )

    def classes(self) -> tuple[str, ...]:
        """Names by label; an answer says that the model is loaded."""
        return self._inferencer.classes

    def do(self, piece: Piece) -> Finding | list[Piece]:
        """Segment a piece, or, of a video that nobody has opened yet, say how it is cut.

        Returns:
            What was found, an error of the file included, or the pieces of a long video.
        """
        try:
            clip = video_clip(Path(piece.video.path), None, self.job.silent_ok)
            if not piece.count:
                pieces = cut(piece.video, clip.duration, self.job.piece, self.job.fps)
                if len(pieces) > 1:
                    return pieces
                piece = pieces[0]
            return self._segment(clip, piece)
        except _OF_THE_FILE as error:
            known = piece if piece.count else replace(piece, count=1, end=0.0)
            return Finding(known, error=str(error) or type(error).__name__)

    def _segment(self, clip: Clip, piece: Piece) -> Finding:
        finder, runs, rows = RunFinder(), list[Run](), list[dict[str, Any]]()
        last, first_shown, count = None, None, 0
        for frame, result in self._inferencer.stream(
            clip, fps=self.job.fps, start=piece.start, end=piece.end
        ):
            if result is last:
                continue
            first_shown = frame.shown if first_shown is None else first_shown
            runs += finder.add(result, frame.shown)
            rows += _rows(piece.video.name, result)
            last, count = result, count + 1
        runs += finder.finish(piece.end)
        return Finding(
            piece=piece,
            duration=clip.duration,
            frames=count,
            first_shown=first_shown,
            runs=runs,
            masks=pa.Table.from_pylist(rows, MASKS),
        )


def _rows(video: str, result: FrameResult) -> list[dict[str, Any]]:
    objects = result.objects
    masks = run_lengths.encode(result.class_map, [one.label for one in objects])
    return [
        dict(
            video=video,
            time=result.time,
            name=one.name,
            label=one.label,
            score=one.score,
            area=one.area,
            segmentation=mask,
        )
        for one, mask in zip(objects, masks, strict=True)
    ]
