"""Workers as Ray's actors: one a GPU or core, replaced when it, or its machine, is lost."""

from collections import deque
from dataclasses import dataclass, field, replace
from logging import WARNING
from textwrap import shorten
from typing import Any

import ray
from mmengine.logging import print_log
from ray.exceptions import RayError, RayTaskError

from ..errors import UserError
from .crews import Outcome
from .pieces import Finding, Piece
from .worker import Job, Worker

_HELD = 2  # pieces that a worker has: the one it does, and the next, so that it never waits
_WAIT = 0.5  # seconds for something to finish before the screen is due
_MOST_TRIES = 4  # workers that a piece may take down before it is given up
_LONGEST_REASON = 300  # letters of it in the log
_MOST_STARTS = 5  # times that each worker in a row may end before it has loaded the model


@dataclass
class _Actor:
    """A worker and what it was handed, in the order in which it does it.

    Attributes:
        handle: Ray's.
        classes: Result of its first call: it is there once the model is loaded.
        loaded: Whether it is. A worker gets nothing to do before: there may be no machine for it.
        pieces: Handed over and not come back.
        results: Of the pieces.
    """

    handle: Any
    classes: Any
    loaded: bool = False
    pieces: deque[Piece] = field(default_factory=deque)
    results: deque[Any] = field(default_factory=deque)

    @property
    def next_result(self) -> Any:
        """What it works on; None if on nothing."""
        if not self.loaded:
            return self.classes
        return self.results[0] if self.results else None

    @property
    def has_room(self) -> bool:
        return self.loaded and len(self.pieces) < _HELD


class RayCrew:
    """Actors that each load the model once; ``cluster.py`` finds or makes where they run.

    Args:
        job: What is to be done.
        size: How many.
        gpus: Share of a GPU that each has; 0 on machines without.
    """

    def __init__(self, job: Job, *, size: int, gpus: float) -> None:
        self.size = size
        # A worker that is lost is replaced here, where it is known what it was doing.
        options = dict(num_cpus=1, num_gpus=gpus, max_restarts=0, max_concurrency=1)
        self._kind: Any = ray.remote(Worker).options(**options)
        self._job = job
        self._actors = [self._make() for _ in range(size)]
        self._again: deque[Piece] = deque()
        self._tries: dict[tuple[int, int], int] = {}
        self._given_up: list[Outcome] = []
        self._early_ends = 0

    def classes(self) -> tuple[str, ...]:
        while True:
            for actor, result in self._ready():
                try:
                    names = ray.get(result)
                except RayError as error:
                    if getattr(error, "actor_init_failed", False):  # as it would on all others
                        raise UserError(f"no worker could be started: {_reason(error)}") from error
                    self._replace(actor, error)
                else:
                    actor.loaded = True
                    return names

    def has_room(self) -> bool:
        return any(actor.has_room for actor in self._actors)

    def start(self, piece: Piece) -> None:
        able = (actor for actor in self._actors if actor.has_room)
        actor = min(able, key=lambda one: len(one.pieces))
        actor.pieces.append(piece)
        actor.results.append(actor.handle.do.remote(piece))

    def finished(self) -> list[Outcome]:
        outcomes = []
        for actor, result in self._ready():
            try:
                value = ray.get(result)
            except RayError as error:
                self._replace(actor, error)
                continue
            if not actor.loaded:
                actor.loaded = True
                continue
            outcomes.append(value)
            actor.pieces.popleft()
            actor.results.popleft()
        while self._again and self.has_room():
            self.start(self._again.popleft())
        outcomes += self._given_up
        self._given_up = []
        return outcomes

    def _ready(self) -> list[tuple[_Actor, Any]]:
        """What has come of the workers' next results, and whose; waits a while for a first one."""
        doing = ((actor, actor.next_result) for actor in self._actors)
        owners = {result: actor for actor, result in doing if result is not None}
        ready, _ = ray.wait([*owners], num_returns=len(owners), timeout=0)
        if not ready:
            ready, _ = ray.wait([*owners], num_returns=1, timeout=_WAIT)
        if not ready:
            _check_machines()
        return [(owners[result], result) for result in ready]

    def is_idle(self) -> bool:
        return not self._again and not any(actor.pieces for actor in self._actors)

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor.handle)

    def _make(self) -> _Actor:
        handle = self._kind.remote(self._job)
        return _Actor(handle, handle.classes.remote())

    def _replace(self, actor: _Actor, error: RayError) -> None:
        """Another worker for one that was lost; what it had is done again."""
        self._early_ends = 0 if actor.loaded else self._early_ends + 1
        if self._early_ends > _MOST_STARTS * self.size:
            raise UserError(f"workers end before they have done anything: {_reason(error)}")
        told = shorten(_reason(error), _LONGEST_REASON, placeholder=" ...")
        print_log(f"a worker is lost, and another one begins: {told}", "current", WARNING)
        ray.kill(actor.handle)  # one that raised may still be there, with a GPU that fails for good
        self._actors[self._actors.index(actor)] = self._make()
        if not actor.pieces:
            return
        doing, *waiting = actor.pieces
        key = doing.video.key, doing.index
        self._tries[key] = self._tries.get(key, 0) + 1
        if self._tries[key] < _MOST_TRIES:
            waiting.insert(0, doing)
        else:
            known = doing if doing.count else replace(doing, count=1, end=0.0)
            reason = f"took down {_MOST_TRIES} workers: {_reason(error)}"
            self._given_up.append(Finding(known, error=reason))
        self._again.extendleft(reversed(waiting))


def _check_machines() -> None:
    """Without a machine, workers that are lost would be waited for without an end.

    Raises:
        UserError: There is none any more.
    """
    if not any(node["Alive"] for node in ray.nodes()):
        raise UserError(
            "Ray's last machine, or its node manager, is gone; give the command again, and it "
            "goes on where it was"
        )


def _reason(error: RayError) -> str:
    """The first line that says something of an error of a worker, without its traceback."""
    if isinstance(error, RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
