"""Batches images and waveforms on the device: normalise, pad, stack, spectrogram."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import ImgDataPreprocessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import stack_batch
from torch import Tensor

from ..constants import IGNORE_INDEX
from ..errors import PICTURE_ALONE
from .spectrogram import DropBin, first_bin, magnitude_and_cross, stft_magnitude


@MODELS.register_module()
class AVDataPreprocessor(ImgDataPreprocessor):
    """Collated samples in, what the model reads out.

    Images are padded at the right and at the bottom, after normalisation, to the largest of the
    batch and a multiple of ``size_divisor``. In training the label maps are padded with them; at
    test they keep the size of the original frame, and the padding is noted in the metainfo
    (``img_padding_size``), from where ``BaseAVSegmentor.predict`` takes it off again.

    Args:
        mean: Per channel, RGB, in [0, 255].
        std: As ``mean``.
        size_divisor: The padded height and width are multiples of it.
        pad_val: Value of padded pixels after normalisation.
        seg_pad_val: Label of padded pixels.
        bgr_to_rgb: mmcv reads BGR; the backbones' ImageNet weights want RGB.
        drop_bin: Which of the 257 bins of the STFT goes, 'nyquist' or 'dc'.
        cross_spectrum: Whether the model is given that of the two channels, too, for
            ``PhasePosition``.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float] = (123.675, 116.28, 103.53),
        std: Sequence[float] = (58.395, 57.12, 57.375),
        size_divisor: int = 32,
        pad_val: float = 0.0,
        seg_pad_val: int = IGNORE_INDEX,
        bgr_to_rgb: bool = True,
        drop_bin: DropBin = "nyquist",
        cross_spectrum: bool = False,
    ) -> None:
        super().__init__(
            mean=mean,
            std=std,
            pad_size_divisor=size_divisor,
            pad_value=pad_val,
            bgr_to_rgb=bgr_to_rgb,
        )
        first_bin(drop_bin)  # refuses an unknown name here rather than in the first batch
        self.seg_pad_val = seg_pad_val
        self.drop_bin = drop_bin
        self.cross_spectrum = cross_spectrum

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Preprocess one batch.

        Args:
            data: ``inputs`` with ``img``, B tensors (3, H, W) uint8, and ``waveform``, B tensors
                (A, L) in [-1, 1]; ``data_samples``, B SegDataSample, optional at test.
            training: Whether the label maps are padded too.

        Returns:
            ``inputs`` with ``img`` (B, 3, H, W), ``specgram`` (B, A, T, 256) linear magnitude and
            ``waveform`` (B, A, L), all float32 on the device, and the same two of the off-screen
            noise with the prefix ``noise_`` where there is some; with stereo sound ``view`` (B, 2),
            where the frame's left and right edge lie in the picture, from 0 to 1 of its padded
            width; with ``cross_spectrum`` also ``cross``, and of the noise ``noise_cross``, see
            ``magnitude_and_cross``; ``data_samples``.
        """
        if "inputs" not in data:
            raise ValueError("a batch has no 'inputs': its pipeline must end in PackAVSInputs")
        if not isinstance(data["inputs"], dict):
            raise ValueError(PICTURE_ALONE)
        inputs = {name: _together(values) for name, values in data["inputs"].items()}
        data = self.cast_data(dict(data, inputs=inputs))
        data_samples = data.get("data_samples")
        images = data["inputs"]["img"]
        if isinstance(images, Tensor):
            images = list(self._normalise(images))
        else:
            images = [self._normalise(image) for image in images]
        padding = dict(
            size_divisor=self.pad_size_divisor,
            pad_val=self.pad_value,
            seg_pad_val=self.seg_pad_val,
        )
        if training:
            img, data_samples = stack_batch(images, data_samples, **padding)
        else:
            img, paddings = stack_batch(images, **padding)
            for data_sample, padded in zip(data_samples or (), paddings, strict=False):
                data_sample.set_metainfo(padded)
        widths = [image.shape[-1] for image in images]
        waveform = stacked_sounds(data["inputs"]["waveform"])
        inputs = dict(img=img, waveform=waveform, **self._spectra(waveform))
        if waveform.shape[1] == 2:
            spans = frame_spans(widths, data_samples)
            inputs["view"] = torch.tensor(spans, device=img.device) / img.shape[-1]
        if "noise_waveform" in data["inputs"]:
            noise = stacked_sounds(data["inputs"]["noise_waveform"])
            inputs["noise_waveform"] = noise
            spectra = self._spectra(noise)
            inputs |= {f"noise_{name}": spectrum for name, spectrum in spectra.items()}
        return dict(inputs=inputs, data_samples=data_samples)

    def network_inputs(self, img: Tensor, waveform: Tensor) -> dict[str, Tensor]:
        """What ``forward`` gives at test, of tensors on the device alone, for graphs.

        Args:
            img: Pictures of one size, each a whole frame, (B, 3, H, W) uint8.
            waveform: (B, A, L) in [-1, 1].

        Returns:
            ``img``, the spectra and ``view``, whatever the number of channels.
        """
        height, width = img.shape[-2:]
        right, bottom = -width % self.pad_size_divisor, -height % self.pad_size_divisor
        padded = F.pad(self._normalise(img), (0, right, 0, bottom), value=self.pad_value)
        view = torch.zeros(len(img), 2, device=img.device)
        view[:, 1] = width / (width + right)
        return dict(img=padded, view=view, **self._spectra(waveform.float()))

    def _spectra(self, waveform: Tensor) -> dict[str, Tensor]:
        """What the model hears of sounds (B, A, L), by its name in ``inputs``."""
        if not self.cross_spectrum:
            return dict(specgram=stft_magnitude(waveform, drop_bin=self.drop_bin))
        specgram, cross = magnitude_and_cross(waveform, drop_bin=self.drop_bin)
        return dict(specgram=specgram, cross=cross)

    def _normalise(self, image: Tensor) -> Tensor:
        if self._channel_conversion:
            image = image.flip(-3)
        return (image.float() - self.mean) / self.std


def frame_spans(
    widths: Sequence[int], data_samples: Sequence[SegDataSample] | None
) -> list[tuple[float, float]]:
    """Where the left and right edge of the frame lie in each picture, in pixels.

    ``frame_span`` of the metainfo says so of crops; other pictures are whole frames, of ``widths``.
    """
    known = [sample.metainfo.get("frame_span") for sample in data_samples or ()]
    whole = [(0.0, float(width)) for width in widths]
    return [span or frame for span, frame in zip(known or [None] * len(whole), whole, strict=True)]


def _together(values: Tensor | Sequence[Tensor]) -> Tensor | Sequence[Tensor]:
    """One tensor of those of one shape and kind: one transfer to the device, one of each step."""
    if isinstance(values, Tensor) or len({(value.shape, value.dtype) for value in values}) > 1:
        return values
    return torch.stack(list(values))


def stacked_sounds(waveforms: Tensor | Sequence[Tensor]) -> Tensor:
    """Sounds (A, L) as one float32 tensor (B, A, L).

    Raises:
        ValueError: They differ in length or channels.
    """
    waveforms = _together(waveforms)
    if not isinstance(waveforms, Tensor):
        shapes = {tuple(waveform.shape) for waveform in waveforms}
        raise ValueError(
            f"waveforms of shapes {sorted(shapes)} can't share a batch: "
            "cut them to one length and load them with one number of channels"
        )
    return waveforms.float()
