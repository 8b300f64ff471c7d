"""Pictures during validation and test, also of frames that lie in no file."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np
from mmengine.fileio import get
from mmengine.runner import Runner
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample
from torch import Tensor

from .drawing import Picture


@HOOKS.register_module()
class AVSVisualizationHook(SegVisualizationHook):
    """mmseg's hook, which also hands on the sound and can draw composed scenes (AVS-Stamps)."""

    _test_index = 0  # upstream's mmseg does not count what it drew

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw the first frame of every ``interval``-th batch."""
        if self.draw and (runner.iter + batch_idx) % self.interval == 0:
            self._draw("val", 0, data_batch, outputs, runner.iter + batch_idx)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw every frame; of several processes, the first one's."""
        if not self.draw:
            return
        for index in range(len(outputs)):
            self._test_index += 1
            self._draw("test", index, data_batch, outputs, self._test_index)

    def _draw(
        self,
        mode: str,
        index: int,
        data_batch: dict,
        outputs: Sequence[SegDataSample],
        step: int,
    ) -> None:
        sample = outputs[index]
        inputs = data_batch["inputs"]
        self._visualizer.add_datasample(
            f"{mode}_{frame_name(sample)}",
            self._picture(sample, inputs["img"][index]),
            data_sample=sample.cpu(),
            show=self.show,
            wait_time=self.wait_time,
            step=step,
            waveform=inputs["waveform"][index].cpu().numpy(),
        )

    def _picture(self, sample: SegDataSample, packed: Tensor) -> Picture:
        """At the size of the labels, to which a protocol may have resized the frame."""
        path = sample.get("img_path")
        if path and Path(path).is_file():
            # Not turned by its EXIF orientation, as LoadAVSFrame has it: the mask isn't, either.
            picture = mmcv.imfrombytes(
                get(path, self.backend_args), flag="color_ignore_orientation", channel_order="rgb"
            )
        else:
            picture = np.ascontiguousarray(packed.cpu().numpy()[::-1].transpose(1, 2, 0))
        height, width = sample.ori_shape[:2]
        return np.asarray(cv2.resize(picture, (width, height)), np.uint8)


def frame_name(sample: SegDataSample) -> str:
    """What a picture of this frame is called."""
    path = sample.get("img_path")
    stem = Path(path).stem if path else f"{sample.get('frame_index', 0)}"
    clip = Path(str(sample.get("clip_id", ""))).name
    return f"{clip}_{stem}" if clip and clip != stem else stem
