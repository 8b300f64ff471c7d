"""The model as one graph without Python, for torch.export and ONNX.

The STFT takes complex numbers, which such a graph has not; here it is written with real
convolutions. A test holds it against the original.

Shorthand: B batch, C classes, H W image size, A audio channels, L samples.
"""

import copy
import io
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from ..files import write_whole
from ..models.base_segmentor import BaseAVSegmentor
from ..models.spectrogram import HOP_LENGTH, N_FFT, WIN_LENGTH, first_bin

STRIDE = 32  # images must be a multiple of it, as the data preprocessor pads them
SHORTEST, LONGEST = 64, 2048  # sides of the images that a dynamic graph takes


class RealSpectrogram(nn.Module):
    """``models.spectrogram.stft_magnitude`` by two convolutions instead of complex numbers.

    Args:
        drop_bin: Which of the 257 bins goes, 'nyquist' or 'dc'.
    """

    kernels: Tensor

    def __init__(self, drop_bin: Any = "nyquist") -> None:
        super().__init__()
        window = torch.zeros(N_FFT, dtype=torch.float64)
        margin = (N_FFT - WIN_LENGTH) // 2
        window[margin : margin + WIN_LENGTH] = torch.hann_window(WIN_LENGTH, dtype=torch.float64)
        bins = torch.arange(N_FFT // 2, dtype=torch.float64) + first_bin(drop_bin)
        angle = 2 * torch.pi * bins[:, None] * torch.arange(N_FFT, dtype=torch.float64) / N_FFT
        kernels = torch.cat([angle.cos() * window, angle.sin() * window])
        self.register_buffer("kernels", kernels.float()[:, None])

    def forward(self, waveform: Tensor) -> Tensor:
        """(B, A, L) to (B, A, L // 160, 256) linear magnitude."""
        return magnitude(*self.parts(waveform))

    def parts(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part of the spectrum, both (B, A, L // 160, 256)."""
        batch, channels, length = waveform.shape
        padded = F.pad(waveform.reshape(-1, 1, length), (N_FFT // 2, N_FFT // 2), "reflect")
        parts = F.conv1d(padded, self.kernels, stride=HOP_LENGTH)[..., : length // HOP_LENGTH]
        real, imaginary = parts.transpose(1, 2).reshape(batch, channels, -1, N_FFT).chunk(2, -1)
        return real, -imaginary


def magnitude(real: Tensor, imaginary: Tensor) -> Tensor:
    """Of each bin of ``RealSpectrogram.parts``."""
    # The root of an exact 0 has no slope, and some runtimes give NaN just below it.
    return (real * real + imaginary * imaginary).clamp_min(1e-20).sqrt()


def cross_spectrum(real: Tensor, imaginary: Tensor) -> Tensor:
    """``models.spectrogram.magnitude_and_cross``'s second, of the parts of two channels."""
    (left, right), (left_i, right_i) = real.unbind(1), imaginary.unbind(1)
    return torch.stack([left * right + left_i * right_i, left_i * right - left * right_i], 1)


class ExportableModel(nn.Module):
    """Picture and sound in, a score for each class and pixel out.

    Args:
        model: A segmentor built without a criterion; a copy of it is taken.
    """

    model: Any
    # Not "mean": ONNX's folding of constants calls the result of a graph's first mean so, too.
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).cpu().eval()
        preprocessor = self.model.data_preprocessor
        self.register_buffer("pixel_mean", preprocessor.mean.view(1, 3, 1, 1).float())
        self.register_buffer("pixel_std", preprocessor.std.view(1, 3, 1, 1).float())
        self.spectrogram = RealSpectrogram(preprocessor.drop_bin)

    def forward(self, img: Tensor, waveform: Tensor) -> Tensor:
        """Segment.

        Args:
            img: (B, 3, H, W) float32 RGB in [0, 255]; H and W are multiples of 32.
            waveform: (B, A, L) float32 at 16 kHz in [-1, 1].

        Returns:
            (B, C, H, W) scores, not below 0; the argmax over C is the class map.
        """
        parts = self.spectrogram.parts(waveform)
        inputs = dict(img=(img - self.pixel_mean) / self.pixel_std, specgram=magnitude(*parts))
        if self.model.data_preprocessor.cross_spectrum:
            inputs["cross"] = cross_spectrum(*parts)

        def resize(maps: Tensor) -> Tensor:
            grown = F.interpolate(maps[None], img.shape[-2:], mode="bilinear", align_corners=False)
            return grown[0]

        pictures = self.model.per_picture(self.model.encode_decode(inputs, []))
        return torch.stack([self.model.draw_static(one, resize) for one in pictures])


def example_inputs(
    *, size: tuple[int, int], channels: int, num_samples: int, count: int = 1
) -> tuple[Tensor, Tensor]:
    """Pictures (B, 3, H, W) and sounds (B, A, L) of fixed noise.

    Args:
        size: H and W.
        channels: A.
        num_samples: L.
        count: B.
    """
    generator = torch.Generator().manual_seed(0)
    img = torch.rand(count, 3, *size, generator=generator) * 255
    return img, torch.rand(count, channels, num_samples, generator=generator) * 2 - 1


def export_program(
    model: BaseAVSegmentor,
    *,
    size: tuple[int, int],
    channels: int,
    num_samples: int,
    dynamic: bool = True,
) -> ExportedProgram:
    """Trace a model with ``torch.export``, for one picture, or one clip where it sees clips.

    Of a model whose queries look back, the graph takes a window of T frames, oldest first, as a
    clip of their own, and scores them all; those of the newest frame are the last. Memory from
    frame to frame, as ``AVSInferencer`` keeps it, is not part of the graph.

    Args:
        model: A segmentor built without a criterion.
        size: Height and width to trace with, multiples of 32. A dynamic graph takes other ones
            later, each from 64 to 2048.
        channels: A; the graph is bound to it.
        num_samples: L; the graph is bound to it.
        dynamic: Whether the image size stays free.
    """
    if any(side % STRIDE for side in size):
        raise ValueError(f"size={size}: height and width must be multiples of {STRIDE}")
    if dynamic and not SHORTEST <= min(size) <= max(size) <= LONGEST:
        raise ValueError(
            f"size={size}: height and width of a graph whose image size stays free go from "
            f"{SHORTEST} to {LONGEST}; choose others, or bind the graph to this size "
            "(--fixed-size, or dynamic=False)"
        )
    inputs = example_inputs(
        size=size, channels=channels, num_samples=num_samples, count=model.frames_of_a_graph
    )
    shapes = None
    if dynamic:
        limits = dict(min=SHORTEST // STRIDE, max=LONGEST // STRIDE)
        rows, columns = Dim("rows", **limits), Dim("columns", **limits)
        shapes = ({2: STRIDE * rows, 3: STRIDE * columns}, None)
    with torch.no_grad():
        return torch.export.export(
            ExportableModel(model), inputs, dynamic_shapes=shapes, strict=False
        )


def write_program(program: ExportedProgram, path: str | Path) -> None:
    """Write a file for ``torch.export.load``."""
    content = io.BytesIO()
    torch.export.save(program, content)
    write_whole(path, content.getvalue())


def export_onnx(program: ExportedProgram, path: str | Path) -> None:
    """Write an ONNX file with the inputs ``img`` and ``waveform`` and the output ``scores``."""
    exported = torch.onnx.export(
        program,
        dynamo=True,
        input_names=["img", "waveform"],
        output_names=["scores"],
        opset_version=18,
        external_data=False,
        verbose=False,
    )
    assert exported is not None  # it is None for the exporter before dynamo
    write_whole(path, exported.model_proto.SerializeToString())
