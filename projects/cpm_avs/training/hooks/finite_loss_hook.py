"""Mixed precision lives with an overflow now and then: the scaler skips the step, and so do we."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.nn.modules.batchnorm import _BatchNorm

from ...model_wrapper import bare_model
from ..finite import REMEDY, NonFiniteLossError
from .resumed_records import unusable


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Lets a gradient scaler skip steps that are not finite, counts them, and ends a run of them.

    Without a scaler (no ``--amp``) the first NaN is an error, see ``FiniteGuard``. With one, the
    step is left out on all ranks, the scale halves, and training goes on. A step whose gradients
    alone overflow counts, too, which the falling scale tells. Neither the memory bank nor the
    matching stability learns from a step whose loss is not finite.

    Args:
        max_skipped: Skipped steps in a row that end training. From its first value the scale is
            below 1 after 17: it is not the half precision then.
    """

    checkpoint_key = "skipped_steps"

    def __init__(self, *, max_skipped: int = 20) -> None:
        if max_skipped < 1:
            raise ValueError(f"max_skipped must be at least 1, got {max_skipped}.")
        self.max_skipped = max_skipped
        self._in_a_row, self._total = 0, 0
        self._loaded: Any = None
        self._scale = 0.0  # of the last step

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember the counts; whether this is a resume is known only in ``before_train``."""
        self._loaded = checkpoint.get(self.checkpoint_key)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Save the counts, which are the same on all ranks."""
        checkpoint[self.checkpoint_key] = dict(in_a_row=self._in_a_row, total=self._total)

    def before_train(self, runner: Runner) -> None:
        """Tell the criterion whether there is a scaler, and take the counts over."""
        scaler: Any = getattr(runner.optim_wrapper, "loss_scaler", None)
        if bare_model(runner).criterion is None:
            raise ValueError("model.criterion is None, as for inference; training needs one")
        guard = bare_model(runner).criterion.finite
        guard.skips = scaler is not None and scaler.is_enabled()
        self._scale = scaler.get_scale() if guard.skips else 0.0
        if runner.iter > 0 and self._loaded is not None:
            self._in_a_row, self._total = self._loaded_counts()

    def _loaded_counts(self) -> tuple[int, int]:
        found = self._loaded if isinstance(self._loaded, dict) else {}
        in_a_row, total = found.get("in_a_row"), found.get("total")
        if type(in_a_row) is not int or type(total) is not int or not 0 <= in_a_row <= total:
            raise unusable(self.checkpoint_key, self._loaded)
        return in_a_row, total

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Count the step if it was skipped."""
        guard = bare_model(runner).criterion.finite
        if not guard.skips:
            return
        before, self._scale = self._scale, runner.optim_wrapper.loss_scaler.get_scale()
        if not guard.met and self._scale >= before:
            self._in_a_row = 0
            return
        self._in_a_row += 1
        self._total += 1
        self._refuse_spoiled_norms(runner)
        reason = guard.met or "The gradients are not finite, though the losses are."
        if self._in_a_row >= self.max_skipped:
            raise NonFiniteLossError(
                f"{reason}\n{self._in_a_row} steps in a row were skipped, the loss scale is "
                f"{self._scale:g}: it is not half precision alone. The last checkpoint is whole. "
                f"{REMEDY}"
            )
        if guard.met:  # gradients that overflow are how a scaler finds its scale
            runner.logger.warning(
                f"{reason}\nThe step was skipped ({self._in_a_row} in a row, {self._total} in this "
                f"run); the loss scale is {self._scale:g}."
            )

    def _refuse_spoiled_norms(self, runner: Runner) -> None:
        """Running statistics take in what a forward pass meets, and a NaN stays in them."""
        for name, module in bare_model(runner).named_modules():
            mean = module.running_mean if isinstance(module, _BatchNorm) else None
            if mean is not None and not (mean + module.running_var).isfinite().all():
                raise NonFiniteLossError(
                    f"The running statistics of {name} have met a value that is not finite. Resume "
                    "from the last checkpoint, which is whole; if it happens again, train "
                    "without --amp."
                )
