"""Made batches as a data loader hands them over: noise with large regions that sound."""

from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import Tensor
from torch.nn.functional import interpolate

_SOUNDING = 3  # classes in a picture


def coarse_regions(
    count: int, num_classes: int, size: tuple[int, int], *, seed: int
) -> tuple[Tensor, Tensor]:
    """Scores that vary slowly over a picture, (count, num_classes, H, W), and their argmax."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, num_classes, 8, 8, generator=generator)
    scores = interpolate(coarse, size=size, mode="bilinear")
    return scores, scores.argmax(1)


def made_batch(
    *,
    size: tuple[int, int],
    count: int,
    num_classes: int,
    num_samples: int | None = None,
    channels: int = 1,
) -> dict[str, Any]:
    """A clip of noise to see and to hear; three classes sound in a frame, others in the next.

    Args:
        size: Height and width.
        count: B.
        num_classes: C, with background.
        num_samples: L, samples of a window of sound; None makes pictures alone, as mmseg has them.
        channels: A.
    """
    generator = torch.Generator().manual_seed(0)
    foreground = num_classes - 1
    images, waveforms, samples = [], [], []
    for index in range(count):
        _, regions = coarse_regions(1, min(_SOUNDING, foreground) + 1, size, seed=index)
        labels = torch.where(regions > 0, 1 + (regions - 1 + _SOUNDING * index) % foreground, 0)
        sample = SegDataSample(metainfo=dict(ori_shape=size, img_shape=size, clip_length=count))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
        images.append(torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator))
        if num_samples is not None:
            waveforms.append(0.1 * torch.randn(channels, num_samples, generator=generator))
    if num_samples is None:
        return dict(inputs=images, data_samples=samples)
    return dict(inputs=dict(img=images, waveform=waveforms), data_samples=samples)
