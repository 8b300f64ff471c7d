"""What the stream of a clip's frames yields: written, summed up, and reported on the way."""

from collections.abc import Callable, Iterator

from ..media.video_io import Frame
from .clip import Clip
from .outputs import ClipOutputs
from .results import ClipResult, FrameResult
from .timeline import Timeline


def gather(
    clip: Clip,
    pairs: Iterator[tuple[Frame, FrameResult]],
    outputs: ClipOutputs,
    start: float,
    stop: float,
    keep_frames: bool,
) -> ClipResult:
    """Write and sum up what the stream yields."""
    timeline, kept, count = Timeline(stop - start if clip.is_video else 0.0), [], 0
    last: FrameResult | None = None
    for frame, result in pairs:
        outputs.write(frame, result, held=result is last)
        if result is not last:
            timeline.add(result, frame.shown)
            if keep_frames:
                kept.append(result)
        last, count = result, count + 1
    if count == 0:
        raise ValueError(f"{clip.name!r} has no frame from {start:g} to {stop:g} s; give another "
                         "start and end")  # fmt: skip
    segments = timeline.finish(stop if clip.is_video else frame.shown)
    outputs.close(segments)
    return ClipResult(
        name=clip.name,
        duration=stop - start,
        num_frames=count,
        frames=kept,
        segments=segments,
        files=outputs.files,
    )


def reporting(
    pairs: Iterator[tuple[Frame, FrameResult]], progress: Callable[[int, int], None], expected: int
) -> Iterator[tuple[Frame, FrameResult]]:
    """The pairs, with a call after each of how many are done and how many to expect."""
    for count, pair in enumerate(pairs, start=1):
        yield pair
        progress(count, max(count, expected))
