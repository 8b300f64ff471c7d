"""An index that also says which draw of the run it is, so that augmentation can be repeated."""

from typing import Any


class SampleIndex(int):
    """Index of a sample plus ``draw``, the number of samples drawn since the start of the run.

    The sampler yields it and ``AVSDataset`` seeds its augmentation from it: the same draw gives the
    same sample whatever the worker, the number of workers, or the point at which a run resumed.
    """

    draw: int

    def __new__(cls, value: int, draw: int) -> "SampleIndex":
        index = super().__new__(cls, value)
        index.draw = draw
        return index

    # ``ConcatDataset`` and ``RepeatDataset`` find the part's own index by these.

    def __sub__(self, other: int) -> "SampleIndex":
        return SampleIndex(int(self) - other, self.draw)

    def __mod__(self, other: int) -> "SampleIndex":
        return SampleIndex(int(self) % other, self.draw)

    def __reduce__(self) -> tuple[Any, ...]:
        return SampleIndex, (int(self), self.draw)

    def __repr__(self) -> str:
        return f"SampleIndex({int(self)}, draw={self.draw})"
