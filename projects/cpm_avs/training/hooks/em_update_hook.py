"""When the mixtures of the generative classifier are updated (Sec. 3.2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ...model_wrapper import bare_model

Groups = Sequence[dict[str, Any]]


def learning_pace(param_groups: Groups | Mapping[str, Groups]) -> float:
    """The learning rate as a share of the one that the schedule started from, in [0, 1].

    That of the groups that learn fastest; 1 without a schedule.

    Args:
        param_groups: An optimiser's, or those of several by name.
    """
    groups = [param_groups] if isinstance(param_groups, Sequence) else param_groups.values()
    rates = [(group["lr"], group.get("initial_lr", group["lr"])) for own in groups for group in own]
    rate, initial = map(max, zip(*rates, strict=True))
    return min(rate / initial, 1.0) if initial > 0 else 1.0


@HOOKS.register_module()
class EMUpdateHook(Hook):
    """Calls ``criterion.update_classifier`` every ``interval`` iterations, outside autocast.

    A step shrinks as the learning rate does. Mixtures that go on at their pace while the embeddings
    can follow ever less lose their calibration: no-object's, the widest, falls behind the others.

    The bank holds gathered samples, so every rank computes the same mixtures and nothing is sent.
    MMEngine's SyncBuffersHook must not be configured beside it: it averages ALL buffers over the
    ranks, the bank's counts included.

    Args:
        interval: Iterations from one update to the next.
        begin: First iteration after which the mixtures may move. At the start all queries give
            nearly the same embedding: fitted to that, no-object's mixture would claim it with a
            narrow peak, and the other classes would have to be won back. Until then the classes
            are what they start as, fixed prototypes.
    """

    def __init__(self, *, interval: int = 5, begin: int = 0) -> None:
        if interval < 1:
            raise ValueError(f"interval must be at least 1, got {interval}.")
        self.interval, self.begin = interval, begin

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Run EM on the bank."""
        if runner.iter >= self.begin and self.every_n_train_iters(runner, self.interval):
            model = bare_model(runner)
            model.criterion.update_classifier(
                model.decode_head.classifier, pace=learning_pace(runner.optim_wrapper.param_groups)
            )
