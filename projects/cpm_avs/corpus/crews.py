"""Who does the pieces: the interface of a crew of workers, and this process alone as one."""

from collections import deque
from typing import Protocol

from .pieces import Finding, Piece
from .worker import Job, Worker

#: What comes of a piece: what was found, or the pieces that a long video is cut into.
Outcome = Finding | list[Piece]


class Crew(Protocol):
    """Workers that take pieces as long as they have room, and hand back what comes of them."""

    size: int

    def classes(self) -> tuple[str, ...]:
        """Names by label, once a worker has loaded its model.

        Raises:
            ValueError: The model can't be used.
        """
        ...

    def has_room(self) -> bool:
        """Whether another piece may be handed over; this keeps what is held small."""
        ...

    def start(self, piece: Piece) -> None:
        """Hand over a piece."""
        ...

    def finished(self) -> list[Outcome]:
        """Wait a while, and hand back what is finished, each piece once."""
        ...

    def is_idle(self) -> bool:
        """Whether nothing that was handed over is still to come back."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class Alone:
    """One worker in this process, without Ray.

    Args:
        job: What is to be done.
    """

    size = 1

    def __init__(self, job: Job) -> None:
        self._worker = Worker(job)
        self._waiting: deque[Piece] = deque()

    def classes(self) -> tuple[str, ...]:
        return self._worker.classes()

    def has_room(self) -> bool:
        return not self._waiting

    def start(self, piece: Piece) -> None:
        self._waiting.append(piece)

    def finished(self) -> list[Outcome]:
        return [self._worker.do(self._waiting.popleft())]

    def is_idle(self) -> bool:
        return not self._waiting

    def close(self) -> None:
        self._waiting.clear()
