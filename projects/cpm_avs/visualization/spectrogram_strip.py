"""A spectrogram of a whole clip as a strip of pixels, made in one pass and constant memory."""

from collections.abc import Iterable
from itertools import chain

import cv2
import numpy as np
from numpy.typing import NDArray

from .drawing import Picture, put_box, put_text, text_size

_N_FFT, _HOP = 512, 160
_FLOOR = 60.0  # dB below the loudest bin that are shown


def clip_spectrogram(
    chunks: Iterable[NDArray[np.float32]], *, duration: float, sample_rate: int, columns: int
) -> NDArray[np.float32]:
    """Loudest value of each frequency within each column of time.

    Args:
        chunks: Sound (A, n) each, in order; channels are averaged.
        duration: Seconds that the columns span.
        sample_rate: Of the chunks, Hz.
        columns: Width of the result.

    Returns:
        (256, columns) in [0, 1], lowest frequency first: dB above a floor of -60 dB. Silence is 0.
    """
    columns = max(1, min(columns, int(duration * sample_rate / _HOP)))
    peaks = np.zeros((columns, _N_FFT // 2), np.float32)
    window = np.hanning(_N_FFT + 1)[:-1].astype(np.float32)
    # A frame lies around its time, so that half a frame of silence comes before and after.
    edge: NDArray[np.float32] = np.zeros((1, _N_FFT // 2), np.float32)
    rest, position = edge[0], 0
    for chunk in chain(chunks, [edge]):
        rest = np.concatenate([rest, chunk.mean(axis=0)])
        count = (len(rest) - _N_FFT) // _HOP + 1
        if count < 1:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(rest, _N_FFT)[::_HOP][:count]
        magnitude = np.abs(np.fft.rfft(frames * window, axis=1))[:, : _N_FFT // 2]
        times = (position + np.arange(count)) * _HOP / sample_rate
        # The small number keeps a rounding error from leaving a column empty.
        index = np.minimum(times / duration * columns + 1e-6, columns - 1).astype(int)
        np.maximum.at(peaks, index, magnitude.astype(np.float32))
        position += count
        rest = rest[count * _HOP :]
    decibels = 20 * np.log10(np.maximum(peaks, 1e-5) / max(float(peaks.max()), 1e-2))
    return np.clip(decibels / _FLOOR + 1, 0, 1).T.astype(np.float32)


class SpectrogramStrip:
    """What hangs under a video: its whole sound, and a cursor at the time of the picture.

    Args:
        spectrogram: (F, columns) in [0, 1] of the whole clip, lowest frequency first.
        duration: Of the clip, seconds.
        width: Of the strip, pixels.
        height: Of the strip, pixels.
        sample_rate: Of the sound, Hz; half of it is the highest frequency.
    """

    def __init__(
        self,
        spectrogram: NDArray[np.float32],
        *,
        duration: float,
        width: int,
        height: int,
        sample_rate: int,
    ) -> None:
        self.duration = duration
        levels = np.rint(spectrogram[::-1] * 255).astype(np.uint8)
        fitted = cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)
        # Cividis looks the same to people with and without a colour vision deficiency.
        colored = cv2.applyColorMap(fitted, cv2.COLORMAP_CIVIDIS)[..., ::-1]
        self._strip: Picture = np.ascontiguousarray(colored, np.uint8)
        size = int(np.clip(height / 5, 9, 60))
        for text, top in ((f"{sample_rate / 2000:g} kHz", 1), ("0", height - size - 4)):
            put_box(self._strip, 0, top, text_size(text, size)[0] + 4, size + 3)
            put_text(self._strip, text, 2, top, size)

    def at(self, time: float | None) -> Picture:
        """The strip, (height, width, 3) RGB, with a cursor at ``time`` seconds or without one."""
        strip = self._strip.copy()
        if time is not None:
            x = int(np.clip(time / self.duration, 0, 1) * (strip.shape[1] - 1))
            strip[:, max(0, x - 1) : x + 2] = (0, 0, 0)
            strip[:, x] = (255, 255, 255)
        return strip
