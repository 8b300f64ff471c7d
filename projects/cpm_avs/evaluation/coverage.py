"""Coverage score (Sec. 4.5.3, Fig. 3b): do the queries know what sounds after TD-A?"""

from collections.abc import Iterable
from typing import Any

from mmseg.registry import METRICS

from ..constants import IGNORE_INDEX
from .streaming import StreamingMetric, Sums, from_fixed, mask_of, to_fixed


def coverage_score(predicted: Iterable[int], sounding: Iterable[int]) -> float:
    """Jaccard index of two sets of classes without background (0); 1 if both are empty."""
    a, b = set(predicted) - {0}, set(sounding) - {0}
    return len(a & b) / len(a | b) if a | b else 1.0


@METRICS.register_module()
class CoverageMetric(StreamingMetric):
    """Mean coverage score of the frames, between 0 and 1, under the key 'coverage'.

    Reads ``pred_audio_classes`` (classes predicted after TD-A) and ``sound_classes``, or where the
    data set has none, the classes of ``gt_sem_seg``.

    Args:
        ignore_index: Label that is no class.
        kwargs: Arguments of ``StreamingMetric``.
    """

    score_names = ("coverage",)

    def __init__(
        self,
        *,
        ignore_index: int = IGNORE_INDEX,
        **kwargs: Any,  # to StreamingMetric
    ) -> None:
        super().__init__(**kwargs)
        self.ignore_index = ignore_index

    def measure(self, sample: dict[str, Any], position: int) -> Sums:
        if "pred_audio_classes" not in sample:
            raise ValueError(
                "CoverageMetric needs pred_audio_classes, which AVSegmentor.predict sets; take the "
                "metric out of the evaluator for other models."
            )
        sounding = sample.get("sound_classes")
        if sounding is None:
            labels = mask_of(sample, "gt_sem_seg").unique().tolist()
            sounding = set(labels) - {self.ignore_index}
        score = coverage_score(sample["pred_audio_classes"], sounding)
        return {("subset", "total"): dict(frames=1, score=to_fixed(score))}

    def summarise(self, sums: Sums) -> dict[str, float]:
        counts = sums["subset", "total"]
        return dict(coverage=float(from_fixed(counts["score"])) / counts["frames"])
