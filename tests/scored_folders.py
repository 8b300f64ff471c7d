"""Folders of made masks for the scorer: the true ones and somebody's predictions."""

from pathlib import Path

import numpy as np
from PIL import Image

from projects.cpm_avs.scoring import score_set, summarise
from projects.cpm_avs.scoring.frames import Rules
from projects.cpm_avs.scoring.truth import find_truth
from projects.cpm_avs.scoring.whole_set import Scored

BOTH = ("dataset", "avsbench")


def save(path: Path, values, mode: str | None = None) -> Path:
    """Write values as PNG; ``mode`` is Pillow's, where it is not that of the array."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(values))
    (image if mode is None else image.convert(mode)).save(path, format="PNG")
    return path


def scored(masks: Path, truth: Path, *protocols: str, **options) -> Scored:
    """Counts of a folder; options of ``find_truth``, ``Rules`` and ``score_set``."""
    found = {key: options.pop(key) for key in ("layout", "split", "classes") if key in options}
    probability = options.pop("probability", None)
    rules = Rules(protocols or BOTH, **options)
    return score_set(find_truth(truth, **found), masks, rules, probability=probability)


def scores(masks: Path, truth: Path, *protocols: str, **options) -> dict[str, float]:
    """Scores in percent under the keys of ``AVSMetric``; 'foreground/J' and so on of the third."""
    legacy = options.pop("legacy_batch", None)
    protocols = protocols or BOTH
    clips = scored(masks, truth, *protocols, **options).clips
    return {
        f"{'' if row.subset == 'total' else row.subset + '/'}{row.protocol}/{name}": value
        for row in summarise(clips, protocols, legacy_batch=legacy)
        for name, value in row.scores.items()
    }


def kinds(result: Scored) -> list[str]:
    """What was wrong, in the order of the frames."""
    return [problem.kind for problem in result.problems]
