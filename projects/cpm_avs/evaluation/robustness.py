"""Robustness after AVSBench-Robust: what a model segments when nothing in the picture sounds."""

from typing import Any

from mmengine.logging import MMLogger
from mmseg.registry import METRICS

from ..constants import IGNORE_INDEX
from .streaming import StreamingMetric, Sums, mask_of


@METRICS.register_module()
class RobustnessMetric(StreamingMetric):
    """What is segmented where nothing sounds, by the sound that is heard (``audio_condition``).

    With silence, noise or an off-screen sound nothing in the picture sounds, whatever the mask of
    the original sound says, and every predicted object is false. With the normal sound the mask
    says what sounds: background and frames without an object are what can be false. Keys, in
    percent, per condition:
    'robustness/silence/pixel_FPR', the share of falsely segmented pixels among those where nothing
    sounds, and 'robustness/silence/frame_FPR', the share of frames with a false object among
    those in which nothing sounds (missing where something sounds in all of them). And, as it is
    another number only with the normal sound, 'robustness/normal/segmented', the share of pixels
    that are segmented, rightly or not: what AVSBench-Robust's script calls the FPR.

    Args:
        min_pixels: Object pixels from which on a frame counts as false positive.
        ignore_index: Label that is not scored.
        kwargs: Arguments of ``StreamingMetric``.
    """

    default_prefix = "robustness"

    def __init__(
        self,
        *,
        min_pixels: int = 1,
        ignore_index: int = IGNORE_INDEX,
        **kwargs: Any,  # to StreamingMetric
    ) -> None:
        super().__init__(**kwargs)
        if min_pixels < 1:
            raise ValueError(f"min_pixels={min_pixels} must be at least 1.")
        self.min_pixels = min_pixels
        self.ignore_index = ignore_index

    def measure(self, sample: dict[str, Any], position: int) -> Sums:
        condition = sample.get("audio_condition", "normal")
        segmented = mask_of(sample, "pred_sem_seg") > 0
        label = mask_of(sample, "gt_sem_seg").to(segmented.device)
        scored = label != self.ignore_index
        silent = scored & (label == 0) if condition == "normal" else scored
        false_pixels = int((segmented & silent).sum())
        nothing_sounds = bool((silent == scored).all())
        return {
            ("audio", condition): dict(
                pixels=int(scored.sum()),
                segmented=int((segmented & scored).sum()),
                silent_pixels=int(silent.sum()),
                false_pixels=false_pixels,
                silent_frames=int(nothing_sounds),
                false_frames=int(nothing_sounds and false_pixels >= self.min_pixels),
            )
        }

    def summarise(self, sums: Sums) -> dict[str, float]:
        scores = {}
        for (_, condition), counts in sums.items():
            scores[f"{condition}/pixel_FPR"] = (
                100 * counts["false_pixels"] / max(counts["silent_pixels"], 1)
            )
            if counts["silent_frames"]:
                scores[f"{condition}/frame_FPR"] = (
                    100 * counts["false_frames"] / counts["silent_frames"]
                )
            if condition == "normal":
                scores["normal/segmented"] = 100 * counts["segmented"] / max(counts["pixels"], 1)
        lines = "\n".join(f"{name}: {value:.2f} %" for name, value in scores.items())
        MMLogger.get_current_instance().info(f"Robustness\n{lines}")
        return scores
