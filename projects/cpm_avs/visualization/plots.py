"""Figures for people: contact sheet, ACP figure (Fig. 7), timeline of what sounds.

Shorthand: H W picture size, T F spectrogram frames and bins.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..constants import SAMPLE_RATE
from .av_visualizer import enlarge
from .colors import OKABE_ITO, class_color
from .drawing import MaskPainter, Picture
from .spectrogram_strip import clip_spectrogram

_HATCHES = ("", "///", "\\\\\\", "---", "|||", "xxx", "+++", "ooo", "...", "//", "**", "OO")
_HOP = 0.01  # seconds between spectrogram frames


@dataclass(frozen=True)
class SheetRow:
    """One line of a contact sheet.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        waveform: (A, L) at 16 kHz.
        truth: (H, W) labels, or None where there is none.
        predictions: Column's title -> (H, W) labels; the same columns in every row.
        title: Written at the left.
    """

    picture: Picture
    waveform: NDArray[np.float32]
    truth: NDArray[np.integer] | None
    predictions: Mapping[str, NDArray[np.integer]]
    title: str = ""


def contact_sheet(rows: Sequence[SheetRow], classes: Sequence[str]) -> Figure:
    """A table of pictures: frame, spectrogram, truth, predictions; below them, what sounds."""
    if not rows:
        raise ValueError("a contact sheet needs at least one row")
    painter = MaskPainter(classes)
    titles = ("frame", "sound", "truth", *rows[0].predictions)
    figure = Figure(figsize=(3 * len(titles), 2.6 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for title, axis in zip(titles, axes[0], strict=True):
        axis.set_title(title)
    for row, line in zip(rows, axes, strict=True):
        picture, factor = enlarge(row.picture)
        show(line[0], picture)
        _show_sound(line[1], row.waveform, picture.shape[0] / picture.shape[1])
        for axis, labels in zip(line[2:], (row.truth, *row.predictions.values()), strict=True):
            if labels is None:
                axis.axis("off")
                continue
            large = np.kron(labels, np.ones((factor, factor), labels.dtype))
            show(axis, painter.paint_objects(picture, large))
            names = [classes[label] for label in painter.labels(labels)]
            axis.set_xlabel(", ".join(names) or "no object sounds", fontsize="small", wrap=True)
        line[0].set_ylabel(row.title)
    return figure


@dataclass(frozen=True)
class SeparationRow:
    """One line of the ACP figure, each (T, F).

    Attributes:
        mixture: Magnitude a_p.
        noise: Magnitude a_j.
        target: Ratio a_i / a_p in [0, 1].
        prediction: The predicted ratio.
        deaf: What the classes' names alone predict, the same in all frames.
        title: Written at the left, such as what sounds.
    """

    mixture: NDArray[np.float32] | torch.Tensor
    noise: NDArray[np.float32] | torch.Tensor
    target: NDArray[np.float32] | torch.Tensor
    prediction: NDArray[np.float32] | torch.Tensor
    deaf: NDArray[np.float32] | torch.Tensor
    title: str = ""


def acp_figure(rows: Sequence[SeparationRow]) -> Figure:
    """What ACP has learnt (Fig. 7): how sources are told from the noise that was mixed in.

    The last column hears nothing. Only where the prediction is nearer to the target than that
    column is, the prompts have listened.

    Args:
        rows: Examples. Loudness is shown relative to the mixture's loudest bin.
    """
    if not rows:
        raise ValueError("an ACP figure needs at least one row")
    titles = ("mixture $a_p$", "noise $a_j$", "target $a_i/a_p$", "prediction", "without hearing")
    figure = Figure(figsize=(3 * len(titles), 2.4 * len(rows) + 0.6), layout="constrained")
    axes = figure.subplots(len(rows), len(titles), squeeze=False, sharey=True)
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    for row, line in zip(rows, axes, strict=True):
        spectra = np.stack([np.asarray(x) for x in (row.mixture, row.noise)]).astype(np.float32)
        decibels = 20 * np.log10(np.maximum(spectra, 1e-5) / max(spectra[0].max(), 1e-5))
        extent = (0, spectra.shape[1] * _HOP, 0, 8)
        ratios = (row.target, row.prediction, row.deaf)
        for axis, values in zip(line, (*decibels, *ratios), strict=True):
            axis.imshow(
                np.asarray(values).T, origin="lower", aspect="auto", cmap="cividis", extent=extent
            )
        for axis in line[:2]:
            axis.images[0].set_clim(-60, 0)
        for axis in line[2:]:
            axis.images[0].set_clim(0, 1)
        line[0].set_ylabel(f"{row.title}\nkHz" if row.title else "kHz")
    for axis in axes[-1]:
        axis.set_xlabel("s")
    figure.colorbar(axes[0, 1].images[0], ax=axes[:, 1], label="dB")
    figure.colorbar(axes[0, -1].images[0], ax=axes[:, -1], label="ratio")
    return figure


def plot_timeline(
    axis: Axes, segments: Sequence[tuple[str, int, float, float]], duration: float
) -> None:
    """Bars of what sounds when.

    Args:
        axis: Where to draw.
        segments: (name, label, start, end), seconds.
        duration: Of the clip, seconds.
    """
    names = list(dict.fromkeys(name for name, *_ in segments))
    for name, label, start, end in segments:
        look = _look(label)
        axis.barh(names.index(name), end - start, left=start, height=0.7, **look)
        if end <= start:  # an image: a moment
            axis.plot(start, names.index(name), "D", color=look["facecolor"], markersize=9)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlim=(0, duration), ylim=(len(names) - 0.4, -0.6), xlabel="s")
    if not names:
        axis.set_yticks([])
        axis.text(duration / 2, -0.5, "no object sounds", ha="center", va="center")


def sound_figure(
    spectrogram: NDArray[np.float32],
    segments: Sequence[tuple[str, int, float, float]],
    duration: float,
    *,
    sample_rate: int = SAMPLE_RATE,
) -> Figure:
    """A clip's spectrogram above the timeline of the classes that were heard in it.

    Args:
        spectrogram: (F, columns) in [0, 1], lowest frequency first.
        segments: (name, label, start, end), seconds.
        duration: Seconds.
        sample_rate: Of the sound, Hz.
    """
    names = len({name for name, *_ in segments})
    figure = Figure(figsize=(5.5, 2.6 + 0.3 * max(1, names)), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 0.5 + 0.4 * names))
    extent = (0, duration, 0, sample_rate / 2000)
    upper.imshow(
        spectrogram, origin="lower", aspect="auto", cmap="cividis", extent=extent, vmin=0, vmax=1
    )
    upper.set_ylabel("kHz")
    plot_timeline(lower, segments, duration)
    order = list(dict.fromkeys(name for name, *_ in segments))
    for name, label, start, end in segments:
        # The same stretches on the spectrogram: a thin bar for each class, hung from the top.
        top = 0.99 - 0.05 * order.index(name)
        upper.axvspan(start, end, ymin=top - 0.035, ymax=top, linewidth=0, **_look(label))
    return figure


def _look(label: int) -> dict[str, Any]:
    """Colour and hatching of a class's bars."""
    hatch = _HATCHES[(label - 1) // len(OKABE_ITO) % len(_HATCHES)]
    return dict(facecolor=np.asarray(class_color(label)) / 255, edgecolor="white", hatch=hatch)


def show(axis: Axes, picture: Picture) -> None:
    """A picture without ticks."""
    axis.imshow(picture)
    axis.set_xticks([])
    axis.set_yticks([])


def _show_sound(axis: Axes, waveform: NDArray[np.float32], aspect: float) -> None:
    duration = waveform.shape[1] / SAMPLE_RATE
    values = clip_spectrogram([waveform], duration=duration, sample_rate=SAMPLE_RATE, columns=320)
    extent = (0, duration, 0, SAMPLE_RATE / 2000)
    axis.imshow(values, origin="lower", aspect="auto", cmap="cividis", extent=extent)
    axis.set_box_aspect(aspect)
    axis.tick_params(labelsize="small")
