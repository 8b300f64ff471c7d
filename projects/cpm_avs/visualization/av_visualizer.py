"""The visualizer of validation, test and demo: masks with names, and the sound beneath them."""

from collections.abc import Sequence

import cv2
import mmcv
import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer
from numpy.typing import NDArray

from ..constants import SAMPLE_RATE
from .drawing import MaskPainter, Picture
from .spectrogram_strip import SpectrogramStrip, clip_spectrogram

_SHORT_SIDE = 256  # pictures are enlarged to it, or names would cover the objects


@VISUALIZERS.register_module()
class AVSLocalVisualizer(SegLocalVisualizer):
    """mmseg's visualizer with hatched masks, a legend, and a spectrogram under the picture.

    The colours are those of ``colors.py`` and not the data set's, of which many look the same to a
    colour-blind person.
    """

    @master_only
    def add_datasample(
        self,
        name: str,
        image: Picture,
        data_sample: SegDataSample | None = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        step: int = 0,
        with_labels: bool = True,
        with_image: bool = False,
        waveform: NDArray[np.float32] | None = None,
        time: float | None = None,
    ) -> None:
        """As the parent's; truth, then prediction, side by side.

        Args:
            name: Title.
            image: (H, W, 3) uint8 RGB.
            data_sample: With ``gt_sem_seg`` and/or ``pred_sem_seg``.
            draw_gt: Whether the truth is drawn.
            draw_pred: Whether the prediction is drawn.
            show: Open a window rather than write.
            wait_time: Of the window, seconds.
            out_file: Write here rather than to the backends.
            step: Of the backends.
            with_labels: Kept for mmseg's callers; names are always drawn.
            with_image: Put the bare picture first.
            waveform: (A, L) at 16 kHz, drawn as a strip under the picture.
            time: Seconds in ``waveform`` where the cursor stands.
        """
        picture, factor = enlarge(image)
        panels = [picture] if with_image or data_sample is None else []
        for wanted, field, caption in (
            (draw_gt, "gt_sem_seg", "truth"),
            (draw_pred, "pred_sem_seg", "prediction"),
        ):
            if wanted and data_sample is not None and field in data_sample:
                panels.append(
                    self._draw_sem_seg(
                        picture,
                        enlarge_labels(data_sample.get(field), factor),
                        self.dataset_meta["classes"],
                        None,
                        caption=caption,
                    )
                )
        drawn = np.concatenate(panels or [picture], axis=1)
        if waveform is not None:
            drawn = np.concatenate([drawn, window_strip(waveform, drawn.shape[1], time)])
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(mmcv.rgb2bgr(drawn), out_file)
        else:
            self.add_image(name, drawn, step)

    def _draw_sem_seg(
        self,
        image: Picture,
        sem_seg: PixelData,
        classes: Sequence[str],
        palette: list | None,
        with_labels: bool | None = True,
        caption: str | None = None,
    ) -> Picture:
        labels = torch.as_tensor(sem_seg.data).cpu().numpy()[0]
        drawn = MaskPainter(classes).paint(image, labels, caption=caption)
        self.set_image(drawn)
        return drawn


def enlarge(image: Picture) -> tuple[Picture, int]:
    """A picture whose short side reaches a size at which text can be read, and the factor."""
    factor = max(1, round(_SHORT_SIDE / min(image.shape[:2])))
    if factor == 1:
        return image, 1
    size = (image.shape[1] * factor, image.shape[0] * factor)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8), factor


def enlarge_labels(sem_seg: PixelData, factor: int) -> PixelData:
    """Labels (1, H, W) repeated ``factor`` times in both directions."""
    data = torch.as_tensor(sem_seg.data)
    return PixelData(data=data.repeat_interleave(factor, 1).repeat_interleave(factor, 2))


def window_strip(waveform: NDArray[np.float32], width: int, time: float | None = None) -> Picture:
    """Spectrogram of a waveform (A, L) at 16 kHz as a strip of ``width`` pixels."""
    duration = waveform.shape[1] / SAMPLE_RATE
    spectrogram = clip_spectrogram(
        [waveform], duration=duration, sample_rate=SAMPLE_RATE, columns=width
    )
    strip = SpectrogramStrip(
        spectrogram,
        duration=duration,
        width=width,
        height=max(48, width // 10),
        sample_rate=SAMPLE_RATE,
    )
    return strip.at(time)
