"""Both metric protocols of audio-visual segmentation from one pass over the test set.

``dataset`` (CAVP; Tables 2 to 5 of CPM): areas are added up over the whole set; mIoU is the mean of
all C classes, one that never occurs counts 0; F (beta^2 = 0.3) leaves such a class out.

``avsbench`` (Table 1 of CPM) scores frames and averages them:

* more than two classes: IoU and F at the argmax per frame and class; a class's mean is over the
  frames that show or predict it; J and F are means over all C classes, one that never occurs is 0.
* two classes: J is the object's IoU (the background's where nothing sounds) in the predicted mask,
  p > 0.5, F the highest point of the F curve over 255 thresholds, averaged over ALL frames with an
  object. The older scripts pick a threshold per batch and average the maxima, so that their F grows
  as the batch shrinks. Ours has one threshold for the set, hence no batch; ``legacy_batch=1`` adds
  the per-video F of CAVP and, as it seems, CPM (the one to set beside their tables), 4 that of
  TPAVI's test.sh.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from mmseg.registry import METRICS

from ..constants import IGNORE_INDEX
from .frame_counts import PROTOCOLS, SCORES, frame_counts
from .mask_functional import foreground_probability
from .report import ScoreRow, class_table, score_table, write_json
from .set_scores import batch_scores, score_row
from .streaming import Counts, StreamingMetric, Sums, class_names, mask_of

_WHERE_KNOWN = "source"


@METRICS.register_module()
class AVSMetric(StreamingMetric):
    """J, F and mIoU in percent under keys such as 'dataset/mIoU', 'avsbench/J&F', 'ms/dataset/F'.

    Reads ``pred_sem_seg``, ``gt_sem_seg`` and, for two classes, ``seg_logits`` (scores in [0, 1]).
    Memory is constant but for the clips' names; ``legacy_batch`` adds 5 kB a clip.

    Args:
        protocols: Which of 'dataset' and 'avsbench' to score.
        group_by: Keys of the sample's metainfo whose values name subsets, scored beside the total.
            Only ``source``, which few data sets know, may be missing there.
        legacy_batch: Also score J and F as scripts with K clips a batch do (two classes only, the
            set in its order): 'avsbench/F_batchK'.
        expected_clips: Published number of clips per subset; a warning tells where it differs.
        json_path: Where to write all scores; by default metrics.json beside the run's log file.
        ignore_index: Label that is not scored.
        kwargs: Arguments of ``StreamingMetric``.
    """

    def __init__(
        self,
        *,
        protocols: Sequence[str] = PROTOCOLS,
        group_by: Sequence[str] = (_WHERE_KNOWN,),
        legacy_batch: int | None = None,
        expected_clips: Mapping[str, int] | None = None,
        json_path: str | None = None,
        ignore_index: int = IGNORE_INDEX,
        **kwargs: Any,  # to StreamingMetric
    ) -> None:
        super().__init__(**kwargs)
        if not protocols or not set(protocols) <= set(PROTOCOLS):
            raise ValueError(f"protocols={protocols!r} must be taken from {PROTOCOLS}.")
        if isinstance(group_by, str):
            raise ValueError(f"group_by must be a list of keys; write ({group_by!r},).")
        if legacy_batch is not None and (legacy_batch < 1 or "avsbench" not in protocols):
            raise ValueError(
                f"legacy_batch={legacy_batch} is a number of clips, at least 1, of the 'avsbench' "
                f"protocol; protocols are {tuple(protocols)}."
            )
        self.protocols = tuple(protocols)
        self.group_by = tuple(group_by)
        self.legacy_batch = legacy_batch
        self.expected_clips = dict(expected_clips or {})
        self.json_path = json_path
        self.ignore_index = ignore_index

    @property
    def score_names(self) -> list[str]:
        """Keys of the whole set's scores."""
        names = [f"{protocol}/{name}" for protocol in self.protocols for name in SCORES[protocol]]
        legacy = () if self.legacy_batch is None else ("J", "F")
        return names + [f"avsbench/{name}_batch{self.legacy_batch}" for name in legacy]

    def measure(self, sample: dict[str, Any], position: int) -> Sums:
        num_classes = len(class_names(self))
        pred = mask_of(sample, "pred_sem_seg")
        label = mask_of(sample, "gt_sem_seg").to(pred.device)
        in_object = "avsbench" in self.protocols and num_classes == 2
        counts = frame_counts(
            pred,
            label,
            num_classes,
            prob=_probability(sample).to(pred.device) if in_object else None,
            protocols=self.protocols,
            ignore_index=self.ignore_index,
        )
        groups = self._groups(sample)
        sums: Sums = {}
        for name in {"total"} | groups:
            sums["subset", name] = counts
            sums["clips", name] = {str(sample.get("clip_id")): 1}  # frames by the clip's name
        sums["audio", str(sample.get("audio_condition", "normal"))] = dict(frames=1)
        if self.legacy_batch is not None:
            if num_classes != 2:
                raise ValueError(f"legacy_batch is for two classes, not for {num_classes}.")
            sums["clip", str(sample["clip_id"])] = dict(positions=position) | counts
        return sums

    def _groups(self, sample: dict[str, Any]) -> set[str]:
        """Names of the subsets that a frame is of."""
        for key in self.group_by:
            if key not in sample and key != _WHERE_KNOWN:
                known = [name for name, value in sample.items() if isinstance(value, (str, int))]
                raise ValueError(
                    f"group_by names {key!r}, which the sample {sample.get('img_path', '')} lacks; "
                    f"it has {', '.join(sorted(known))}. Others are packed by meta_keys."
                )
        return {str(sample[key]) for key in self.group_by if sample.get(key) is not None}

    def summarise(self, sums: Sums) -> dict[str, float]:
        logger, classes = MMLogger.get_current_instance(), class_names(self)
        clips = {name: len(found) for (kind, name), found in sums.items() if kind == "clips"}
        rows = self._rows(sums, clips)
        for name, expected in self.expected_clips.items():
            if (found := clips.get(name, 0)) != expected:
                logger.warning(
                    f"Subset {name} has {found} clips, the published one {expected}: its scores "
                    "can't be compared with the literature."
                )
        audio = sorted(name for kind, name in sums if kind == "audio")
        logger.info(f"Scores in percent, audio: {', '.join(audio)}\n{score_table(rows)}")
        if totals := [row for row in rows if row.subset == "total" and row.per_class]:
            logger.info(f"Per class, in percent\n{class_table(totals, classes)}")
        if path := self._json_file(logger):
            write_json(path, rows, classes, audio)
        return {
            f"{'' if row.subset == 'total' else row.subset + '/'}{row.protocol}/{name}": value
            for row in rows
            for name, value in row.scores.items()
        }

    def _rows(self, sums: Sums, clips: Mapping[str, int]) -> list[ScoreRow]:
        """Of each subset with so many clips, the whole set first, its scores by each protocol."""
        rows = [
            score_row(protocol, name, sums["subset", name], clips[name])
            for name in ["total", *sorted(clips.keys() - {"total"})]
            for protocol in self.protocols
        ]
        if self.legacy_batch is not None:
            by_clip = [counts for (kind, _), counts in sums.items() if kind == "clip"]
            row = next(row for row in rows if row.protocol == "avsbench")
            row.scores.update(_legacy_scores(by_clip, self.legacy_batch))
        return rows

    def _json_file(self, logger: MMLogger) -> Path | None:
        if self.json_path is not None:
            return Path(self.json_path)
        return Path(logger.log_file).with_name("metrics.json") if logger.log_file else None


def _probability(sample: dict[str, Any]) -> Any:
    if "seg_logits" not in sample:
        raise ValueError("'avsbench' on two classes needs seg_logits; predict must set them.")
    return foreground_probability(sample["seg_logits"]["data"])


def _legacy_scores(clips: list[Counts], batch: int) -> dict[str, float]:
    """Percent by key; the clips in the order of the set."""
    # A clip's frames are neighbours, so that the mean position orders the clips on any ranks.
    clips = sorted(clips, key=lambda counts: counts["positions"] / counts["frames"])
    scores = batch_scores(clips, batch)
    return {f"{name}_batch{batch}": 100 * value for name, value in scores.items()}
