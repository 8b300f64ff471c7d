"""Where the time of a prediction or of a training step goes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any

from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from .report import Row
from .subjects import Subject
from .timing import synchroniser

#: Methods of a model by the stage that they are. What a stage calls of another one is not counted
#: in it; a part that a model lacks takes no time.
STAGES = {
    "preprocessing": "data_preprocessor.forward",
    "image backbone": "backbone.forward",
    "sound": "extract_audio",
    "pixel decoder": "decode_head.pixel_decoder.forward",
    "decoder": "decode_head.decoder.forward",
    "matching": "criterion.set_criterion.match",
    "mask and class losses": "criterion.set_criterion.forward",
    "prompts": "criterion.prompted_path.forward",
}
_OPTIMISER_STAGES = {"optimiser": "update_params", "backward": "backward"}
_REST = "rest"


class Stopwatch:
    """Seconds of stages that may call one another; each gets what is its own.

    Args:
        synchronise: Waits for the device before a clock is read.
    """

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._synchronise = synchronise
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs inside, but for the stages in it."""
        self._lap()
        self._running.append(name)
        try:
            yield
        finally:
            self._lap()
            self._running.pop()

    def wrap(self, owner: Any, method: str, name: str) -> Callable[[], None]:
        """Make a method a stage; the result makes it what it was."""
        original = getattr(owner, method)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.stage(name):
                return original(*args, **kwargs)

        object.__setattr__(owner, method, timed)
        return lambda: object.__delattr__(owner, method)

    def _lap(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
        self._since = now


def stage_rows(
    subject: Subject, what: str, size: tuple[int, int], count: int, *, runs: int
) -> Iterator[Row]:
    """Median seconds of each stage.

    Args:
        subject: Whose.
        what: 'predict' or 'train'.
        size: Height and width.
        count: Samples.
        runs: That count, after one that warms up.
    """
    act = subject.predict if what == "predict" else subject.train
    batch = subject.batch(size, count)
    taken: list[dict[str, float]] = []
    for _ in range(runs + 1):
        watch = Stopwatch(synchroniser(subject.device))
        prepared = deepcopy(batch)
        with _watched(subject.model, subject.optimiser, watch), watch.stage(_REST):
            act(prepared)
        taken.append(watch.seconds)
    total = statistics.median(sum(run.values()) for run in taken[1:])
    for name in (*STAGES, *reversed(_OPTIMISER_STAGES), _REST):
        seconds = statistics.median(run.get(name, 0.0) for run in taken[1:])
        if seconds:
            yield dict(
                what=what,
                model=subject.name,
                size=f"{size[0]}x{size[1]}",
                batch=count,
                precision=subject.precision,
                stage=name,
                ms=1000 * seconds,
                share=seconds / total,
            )


@contextmanager
def _watched(model: BaseModel, optimiser: OptimWrapper, watch: Stopwatch) -> Iterator[None]:
    with ExitStack() as undo:
        for name, path in STAGES.items():
            *owners, method = path.split(".")
            owner: Any = model
            for part in owners:
                owner = getattr(owner, part, None)
            if hasattr(owner, method):
                undo.callback(watch.wrap(owner, method, name))
        for name, method in _OPTIMISER_STAGES.items():
            undo.callback(watch.wrap(optimiser, method, name))
        yield
