"""What sounds when, gathered frame by frame: runs of a class, joined to stretches of time."""

from dataclasses import dataclass, replace

from .results import FrameResult, Segment

_FLICKER = 0.15  # seconds: a class gone for no longer was there all the time
_SHORTEST = 0.25  # seconds: what lasts less is a slip
_PAUSE = 0.5  # seconds: a sound that pauses for no longer is still the same one
_SMALLEST = 0.001  # share of the frame below which a class does not count as sounding


@dataclass
class Run:
    """Frames in a row that show a class, flicker closed; sums, so that two can be joined.

    Attributes:
        name: Of the class.
        label: Of the class.
        start: Second.
        end: Second.
        score: Sum over its frames.
        area: Sum over its frames, each as a share of the frame.
        count: Frames.
    """

    name: str
    label: int
    start: float
    end: float
    score: float
    area: float
    count: int

    def flickers_to(self, start: float) -> bool:
        """Whether the class was only gone for a moment when it is there again at a second."""
        return start - self.end <= _FLICKER

    def extend(self, other: "Run") -> None:
        """Go on to the end of a later one."""
        self.end = other.end
        self.score, self.area = self.score + other.score, self.area + other.area
        self.count += other.count


class RunFinder:
    """Runs of the predicted frames of a clip; keeps those that go on, not frames."""

    def __init__(self) -> None:
        self._open: dict[int, Run] = {}
        self._last: FrameResult | None = None
        self._shown = 0.0

    def add(self, frame: FrameResult, shown: float) -> list[Run]:
        """Take the next predicted frame, shown from a second on; gives the runs that are over."""
        over = self._extend(shown)
        self._last, self._shown = frame, shown
        return over

    def finish(self, end: float) -> list[Run]:
        """The runs that are left.

        Args:
            end: When the last frame ends, seconds.
        """
        return [*self._extend(end), *self._open.values()]

    def _extend(self, until: float) -> list[Run]:
        over = []
        for found in self._last.objects if self._last is not None else ():
            if found.area < _SMALLEST:
                continue
            seen = Run(found.name, found.label, self._shown, until, found.score, found.area, 1)
            run = self._open.get(found.label)
            if run is not None and run.flickers_to(self._shown):
                run.extend(seen)
                continue
            self._open[found.label] = seen
            if run is not None:
                over.append(run)
        return over


class RunJoiner:
    """Stretches of time out of runs: what is too short is dropped, the rest joined over pauses.

    Args:
        length: Seconds of the clip; one shorter than the shortest stretch still has one.
    """

    def __init__(self, length: float) -> None:
        self._shortest = min(_SHORTEST, length / 2)
        self._closed: dict[int, list[Run]] = {}

    def add(self, run: Run) -> None:
        """Take the next run of its class."""
        if run.end - run.start < self._shortest:
            return
        earlier = self._closed.setdefault(run.label, [])
        if earlier and run.start - earlier[-1].end <= _PAUSE:
            earlier[-1].extend(run)
        else:
            earlier.append(replace(run))

    def segments(self) -> list[Segment]:
        """The stretches in the order in which they begin."""
        runs = [one for closed in self._closed.values() for one in closed]
        return [
            Segment(
                name=one.name,
                label=one.label,
                start=one.start,
                end=one.end,
                score=one.score / one.count,
                area=one.area / one.count,
            )
            for one in sorted(runs, key=lambda one: (one.start, one.label))
        ]


class Timeline:
    """Gathers what sounds when, frame by frame; keeps stretches, not frames.

    A class may flicker from frame to frame: shortest gaps are closed, what then is still too short
    is dropped, and what remains is joined over pauses.

    Args:
        length: Seconds to come; a clip shorter than the shortest stretch still has one.
    """

    def __init__(self, length: float) -> None:
        self._finder, self._joiner = RunFinder(), RunJoiner(length)

    def add(self, frame: FrameResult, shown: float) -> None:
        """Take the next predicted frame, shown from a second on until the next one is."""
        for run in self._finder.add(frame, shown):
            self._joiner.add(run)

    def finish(self, end: float) -> list[Segment]:
        """The stretches in the order in which they begin.

        Args:
            end: When the last frame ends, seconds.
        """
        for run in self._finder.finish(end):
            self._joiner.add(run)
        return self._joiner.segments()
