"""Windows of a sound around rising times, of which only the part still needed is kept.

Shorthand: A channels, n samples, L window length in samples.
"""

from collections.abc import Iterator

import numpy as np

from .audio_functional import Waveform


class SoundWindows:
    """Windows of a sound for rising times, of which only the part still needed is kept.

    A window that reaches over an edge of the clip is moved inside, so that the model hears as much
    as it heard in training; a clip shorter than the window is repeated.

    Args:
        chunks: What ``read_sound`` yields, (A, n) each.
        length: Samples of a window.
        sample_rate: Of the chunks, Hz.
    """

    def __init__(self, chunks: Iterator[Waveform], *, length: int, sample_rate: int) -> None:
        self.length, self.sample_rate = length, sample_rate
        self._chunks = chunks
        self._kept: Waveform | None = None
        self._first = 0  # index of the first sample in _kept
        self._ended = False

    def at(self, time: float) -> Waveform:
        """The window centred on ``time`` seconds, (A, L) float32. Times must not fall."""
        begin = max(0, round(time * self.sample_rate) - self.length // 2)
        self._read_to(begin + self.length)
        kept = self._kept
        if kept is None:
            raise ValueError("the sound is empty; give a sound of at least one sample")
        stop = self._first + kept.shape[1]
        begin = max(self._first, min(begin, stop - self.length))
        window = kept[:, begin - self._first : begin - self._first + self.length]
        if window.shape[1] < self.length:
            repeats = -(-self.length // window.shape[1])
            window = np.tile(window, (1, repeats))[:, : self.length]
        return window

    def _read_to(self, stop: int) -> None:
        while not self._ended:
            if self._kept is not None and self._first + self._kept.shape[1] >= stop:
                break
            chunk = next(self._chunks, None)
            if chunk is None:
                self._ended = True
            elif self._kept is None:
                self._kept = chunk
            else:
                # One window behind the one asked for is enough to move it inside at the end.
                drop = max(0, stop - 2 * self.length - self._first)
                drop = min(drop, self._kept.shape[1])
                self._kept = np.concatenate([self._kept[:, drop:], chunk], axis=1)
                self._first += drop
