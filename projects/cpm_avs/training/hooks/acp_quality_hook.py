"""Logs how well audio prompting separates sounds, after each validation (Fig. 7 in numbers)."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import Tensor

from ...model_wrapper import bare_model
from ..diagnostics.separation import fit_deaf_predictor, measure_separation


@HOOKS.register_module()
class ACPQualityHook(Hook):
    """Measures ``measure_separation`` on the validation set and logs it with the prefix ``ACP/``.

    The predictor that hears nothing, to compare with, is fitted to training samples before the
    first measurement of a run, and again after a resume, with the same result. A validation
    without a training has none.

    Models without an audio mask head are passed over. Every rank computes the same.

    Args:
        num_samples: Samples, evenly spaced over the set.
    """

    def __init__(self, *, num_samples: int = 64) -> None:
        if num_samples < 2:
            raise ValueError(f"num_samples is {num_samples}; mixing needs at least 2")
        self.num_samples = num_samples
        self._trains = False
        self._deaf_logits: Tensor | None = None

    def before_train(self, runner: Runner) -> None:
        """Note that there is a training set."""
        self._trains = True

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Measure and log."""
        model = bare_model(runner)
        path = None if model.criterion is None else model.criterion.prompted_path
        if path is None or path.audio_mask_head is None:
            return
        if self._trains and self._deaf_logits is None:
            training_set = runner.train_dataloader.dataset
            self._deaf_logits = fit_deaf_predictor(model, path.num_classes, training_set)
        measured = measure_separation(
            model, path, runner.val_dataloader.dataset, self.num_samples, self._deaf_logits
        )
        if not measured:
            runner.logger.info("ACP: no two samples of the validation set could be mixed")
            return
        runner.logger.info(f"ACP: {describe(measured)}")
        runner.visualizer.add_scalars(
            {f"ACP/{name}": value for name, value in measured.items()},
            step=runner.iter,
            file_path=f"{runner.timestamp}.json",
        )


def describe(measured: dict[str, float]) -> str:
    """The prompts' scores, and in brackets those of the predictors to compare them with.

    Args:
        measured: Of ``measure_separation``.
    """
    others = {"deaf_": "without hearing", "half_": "0.5 everywhere"}
    phrases = []
    for name, title, form in (
        ("ratio_error", "mean absolute ratio error", ".3f"),
        ("loud_ratio_error", "by loudness", ".3f"),
        ("si_sdr_improvement", "SI-SDR improvement in dB", ".2f"),
    ):
        if name not in measured:
            phrases.append(f"{title} undefined")
            continue
        compared = [
            f"{other} {measured[prefix + name]:{form}}"
            for prefix, other in others.items()
            if prefix + name in measured
        ]
        brackets = f" ({', '.join(compared)})" if compared else ""
        phrases.append(f"{title} {measured[name]:{form}}{brackets}")
    return "; ".join(phrases)
