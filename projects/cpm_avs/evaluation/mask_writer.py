"""Predicted masks as files (tools/test.py --out)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from PIL import Image

from ..files import whole_file


@HOOKS.register_module()
class MaskWriterHook(Hook):
    """Writes each tested frame's mask as CLIP/FRAME.png; a pixel's value is its class index.

    mmseg names the files by the frame's file alone, which is the same in every clip here.

    Args:
        out_dir: Folder for the masks.
    """

    def __init__(self, *, out_dir: str) -> None:
        self.out_dir = Path(out_dir)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Write the batch."""
        for sample in outputs or ():
            path = self.out_dir / relative_name(sample)
            mask = sample.pred_sem_seg.data[0].cpu().numpy()
            with whole_file(path) as part:
                Image.fromarray(mask.astype(np.uint8)).save(part)


def relative_name(sample: SegDataSample) -> Path:
    """Clip and frame; a clip's name out of an index never leads out of the folder."""
    clip = Path(str(sample.get("clip_id", "")))
    parts = [part for part in clip.parts if part not in ("..", clip.anchor)]
    img_path = sample.get("img_path")
    stem = Path(img_path).stem if img_path else str(sample.get("frame_index", 0))
    return Path(*parts, f"{stem}.png")
