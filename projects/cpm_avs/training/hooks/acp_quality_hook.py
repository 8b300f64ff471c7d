"""Logs how well audio prompting separates sounds, after each validation (Fig. 7 in numbers)."""

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..diagnostics.separation import measure_separation


@HOOKS.register_module()
class ACPQualityHook(Hook):
    """Measures ``measure_separation`` on the validation set and logs it with the prefix ``ACP/``.

    Models without an audio mask head are passed over. Every rank computes the same.

    Args:
        num_samples: Samples, evenly spaced over the set.
    """

    def __init__(self, *, num_samples: int = 64) -> None:
        if num_samples < 2:
            raise ValueError(f"num_samples is {num_samples}; mixing needs at least 2")
        self.num_samples = num_samples

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Measure and log."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        path = None if model.criterion is None else model.criterion.prompted_path
        if path is None or path.audio_mask_head is None:
            return
        measured = measure_separation(model, path, runner.val_dataloader.dataset, self.num_samples)
        if not measured:
            runner.logger.info("ACP: no two samples of the validation set could be mixed")
            return
        improvement = measured.get("si_sdr_improvement")
        runner.logger.info(
            f"ACP: mean absolute ratio error {measured['ratio_error']:.4f}, SI-SDR improvement "
            + ("undefined" if improvement is None else f"{improvement:.2f} dB")
        )
        runner.visualizer.add_scalars(
            {f"ACP/{name}": value for name, value in measured.items()},
            step=runner.iter,
            file_path=f"{runner.timestamp}.json",
        )
