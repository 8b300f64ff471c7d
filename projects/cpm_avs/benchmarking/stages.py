"""Where the time of a prediction or of a training step goes."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper

from .report import Row
from .subjects import Subject
from .timing import Step, Timing, interleaved, synchroniser

#: Methods of a model by the stage that they are. What a stage calls of another one is not counted
#: in it; a part that a model lacks takes no time.
STAGES = {
    "preprocessing": "data_preprocessor.forward",
    "image backbone": "backbone.forward",
    "sound": "sound_levels",
    "pixel decoder": "decode_head.pixel_decoder.forward",
    "decoder": "decode_head.decoder.forward",
    "matching": "criterion.set_criterion.match",
    "mask and class losses": "criterion.set_criterion.forward",
    "prompts": "criterion.prompted_path.forward",
}
_OPTIMISER_STAGES = {"optimiser": "update_params", "backward": "backward"}
_REST = "rest"
#: Not part of a step: with the paper's schedule every fifth is followed by one.
_EM = "EM, when due"


class Stopwatch:
    """Seconds of stages that may call one another; each gets what is its own.

    Args:
        synchronise: Waits for the device before a clock is read.
    """

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.cpu_seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []
        self._synchronise = synchronise
        self._since = self._cpu_since = 0.0

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
        now, cpu_now = time.perf_counter(), time.process_time()
        if self._running:
            self.seconds[self._running[-1]] += now - self._since
            self.cpu_seconds[self._running[-1]] += cpu_now - self._cpu_since
        self._since, self._cpu_since = now, cpu_now


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
    taken: list[Stopwatch] = []
    for _ in range(runs + 1):
        watch = Stopwatch(synchroniser(subject.device))
        prepared = deepcopy(batch)
        with _watched(subject.model, subject.optimiser, watch), watch.stage(_REST):
            act(prepared)
        taken.append(watch)
    counted = taken[1:]
    total = statistics.median(sum(one.seconds.values()) for one in counted)
    cpu_total = statistics.median(sum(one.cpu_seconds.values()) for one in counted)
    medians = {
        name: (
            statistics.median(one.seconds[name] for one in counted),
            statistics.median(one.cpu_seconds[name] for one in counted),
        )
        for name in (*STAGES, *reversed(_OPTIMISER_STAGES), _REST)
    }
    criterion = getattr(subject.model, "criterion", None)
    if what == "train" and getattr(criterion, "mixture", None) is not None:
        timing = _em(subject, runs)
        medians[_EM] = timing.seconds, timing.cpu_seconds
    for name, (seconds, cpu_seconds) in medians.items():
        if seconds:
            yield dict(
                what=what,
                model=subject.name,
                size=f"{size[0]}x{size[1]}",
                batch=count,
                precision=subject.precision,
                stage=name,
                ms=1000 * seconds,
                cpu_ms=1000 * cpu_seconds,
                share=seconds / total,
                cpu_share=cpu_seconds / cpu_total,
            )


def _em(subject: Subject, runs: int) -> Timing:
    """A step of EM on a full bank, each class a cloud of its own."""
    mixture, classifier = subject.model.criterion.mixture, subject.model.decode_head.classifier
    bank = mixture.bank
    generator = torch.Generator(subject.device).manual_seed(0)
    centres = classifier.means[:, :1]
    noise = torch.randn(bank.samples.shape, generator=generator, device=centres.device)
    bank.samples.copy_(torch.nn.functional.normalize(centres + 0.05 * noise, dim=-1))
    bank.count.fill_(bank.samples.shape[1])
    step = Step(lambda _: subject.model.criterion.update_classifier(classifier))
    timing = interleaved(dict(em=step), runs=runs, device=subject.device)["em"]
    if isinstance(timing, Exception):
        raise timing
    return timing


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
