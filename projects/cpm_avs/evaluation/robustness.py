"""Robustness after AVSBench-Robust: what a model segments when nothing in the picture sounds."""

from typing import Any

from mmengine.logging import MMLogger
from mmseg.registry import METRICS

from .streaming import StreamingMetric, Sums, mask_of


@METRICS.register_module()
class RobustnessMetric(StreamingMetric):
    """False segmentation on a test set whose sound was replaced (``audio_condition``).

    With silence, noise or an off-screen sound every predicted object is false, whatever the mask
    of the original sound says. Keys, in percent, per condition:
    'robustness/silence/pixel_FPR', the share of falsely segmented pixels among those not ignored,
    and 'robustness/silence/frame_FPR', the share of frames with a false object.

    Args:
        min_pixels: Object pixels from which on a frame counts as false positive.
        ignore_index: Label that is not scored.
        collect_device, prefix, collect_dir: As in ``BaseMetric``.
    """

    default_prefix = "robustness"

    def __init__(
        self,
        *,
        min_pixels: int = 1,
        ignore_index: int = 255,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if min_pixels < 1:
            raise ValueError(f"min_pixels={min_pixels} must be at least 1.")
        self.min_pixels = min_pixels
        self.ignore_index = ignore_index

    def measure(self, sample: dict[str, Any], position: int) -> Sums:
        condition = sample.get("audio_condition", "normal")
        if condition == "normal":
            raise ValueError(
                "RobustnessMetric needs a test set with another sound; set its audio_condition to "
                "'silence', 'noise' or 'offscreen' (tools/test.py --audio)."
            )
        pred = mask_of(sample, "pred_sem_seg")
        scored = mask_of(sample, "gt_sem_seg").to(pred.device) != self.ignore_index
        false_pixels = int(((pred > 0) & scored).sum())
        return {
            ("audio", condition): dict(
                frames=1,
                false_frames=int(false_pixels >= self.min_pixels),
                pixels=int(scored.sum()),
                false_pixels=false_pixels,
            )
        }

    def summarise(self, sums: Sums) -> dict[str, float]:
        scores = {}
        for (_, condition), counts in sums.items():
            scores[f"{condition}/pixel_FPR"] = (
                100 * counts["false_pixels"] / max(counts["pixels"], 1)
            )
            scores[f"{condition}/frame_FPR"] = 100 * counts["false_frames"] / counts["frames"]
        lines = "\n".join(f"{name}: {value:.2f} %" for name, value in scores.items())
        MMLogger.get_current_instance().info(f"Robustness\n{lines}")
        return scores
