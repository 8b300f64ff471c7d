"""Predicted masks as files (tools/test.py --out), which tools/score.py reads."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from ..errors import UserError
from ..files import whole_file
from .mask_functional import foreground_probability, to_grey

#: Folder, beside those of the clips, of the object's probability where there are two classes.
PROBABILITY = "probability"


@HOOKS.register_module()
class MaskWriterHook(Hook):
    """Writes each tested frame's mask as CLIP/FRAME.png; a pixel's value is its class index.

    Of two classes, whose F takes all thresholds, ``probability/CLIP/FRAME.png`` holds the
    probability of the object as a value from 0 to 255 (``to_grey``).

    mmseg names the files by the frame's file alone, which is the same in every clip here.

    Args:
        out_dir: Folder for the masks.
    """

    def __init__(self, *, out_dir: str) -> None:
        self.out_dir = Path(out_dir)
        self._written: dict[Path, str | None] = {}  # and the picture that it was made of

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Write the batch.

        Raises:
            UserError: Masks of two pictures have one name.
        """
        for sample in outputs or ():
            name, picture = relative_name(sample), sample.get("img_path")
            first = self._written.setdefault(name, picture)
            if first != picture:
                raise UserError(
                    f"{self.out_dir / name}: the mask of {first} is there, and {picture} would "
                    "have the same name; give each clip a clip_id of its own"
                )
            _write(self.out_dir / name, sample.pred_sem_seg.data[0].cpu().numpy())
            if "seg_logits" in sample and len(sample.seg_logits.data) == 2:
                prob = foreground_probability(sample.seg_logits.data)
                _write(self.out_dir / PROBABILITY / name, to_grey(prob).cpu().numpy())


def _write(path: Path, mask: np.ndarray) -> None:
    with whole_file(path) as part:
        Image.fromarray(mask.astype(np.uint8)).save(part)


def relative_name(sample: SegDataSample) -> Path:
    """Clip and frame; a clip's name out of an index never leads out of the folder."""
    img_path, frame_index = sample.get("img_path"), sample.get("frame_index", 0)
    stem = Path(img_path).stem if img_path else str(frame_index)
    return Path(*clip_parts(str(sample.get("clip_id", ""))), f"{stem}.png")


def clip_parts(clip_id: str) -> list[str]:
    """Folders that a clip's name makes, without those that lead upwards."""
    clip = Path(clip_id)
    return [part for part in clip.parts if part not in ("..", clip.anchor)]
