"""Sound of any file on a clip's clock: chunk by chunk, without gaps, in constant memory.

Shorthand: A channels, n samples, L window length in samples.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ..structures import BadSampleError
from .audio_functional import ONLY_MEDIA, to_channels

Sound = NDArray[np.float32]  # (A, n) in [-1, 1]

# A jump of the stream's own clock below this is rounding (Matroska counts milliseconds).
_CLOCK_TOLERANCE = 0.05  # seconds
_SILENCE_BLOCK = 16384  # samples, so that an hour of silence is no hour of memory


def open_media(path: str | Path) -> av.container.InputContainer:
    """Open a file as one of the usual containers.

    Raises:
        BadSampleError: It is missing, empty, or something else.
    """
    if not Path(path).is_file():
        raise BadSampleError(path, "does not exist", "Check the path")
    if Path(path).stat().st_size == 0:
        raise BadSampleError(path, "is empty (0 bytes)", "Copy or download it again")
    try:
        return av.open(str(path), options=ONLY_MEDIA)
    except PermissionError as error:  # PyAV's is one, too
        raise forbidden(path) from error
    except (av.FFmpegError, OSError) as error:
        raise BadSampleError(
            path, "is no video or sound that can be read", "Convert it to mp4 or wav"
        ) from error


def sound_stream(container: av.container.InputContainer) -> av.AudioStream | None:
    """The first sound track that can be decoded, or None."""
    decodable = (stream for stream in container.streams.audio if stream.codec_context is not None)
    return next(decodable, None)


def read_sound(
    path: str | Path,
    *,
    sample_rate: int,
    channels: int,
    origin: float | None = None,
    start: float = 0.0,
    end: float | None = None,
) -> Iterator[Sound]:
    """Decode, resample and mix down the first sound track of a file.

    A track that starts late, stops early or has holes is filled with silence, so that sample i of
    what comes out lies at ``start + i / sample_rate`` seconds. Channels are mixed as the data sets
    mix them, or the model would hear another loudness than in training.

    Args:
        path: Any file FFmpeg can read.
        sample_rate: Of the result, Hz.
        channels: Of the result: 1 is the mean of the track's, 2 repeats that of a mono track. Of
            more than two, two are mixed as FFmpeg does for listening.
        origin: The container's time, in seconds, that counts as 0: that of the video's first
            frame, or None for the sound's own beginning.
        start: First second wanted, from ``origin``.
        end: Where to stop, from ``origin``; with it the result has exactly
            ``round((end - start) * sample_rate)`` samples. None reads to the end of the track.

    Yields:
        float32 arrays of shape (A, n) in [-1, 1].
    """
    total = None if end is None else round((end - start) * sample_rate)
    done = 0
    for position, block in _positioned(path, sample_rate, channels, origin, start):
        gap = position - done
        while gap > 0:
            if total is not None and done >= total:
                return
            size = min(gap, _SILENCE_BLOCK, gap if total is None else total - done)
            yield np.zeros((channels, size), np.float32)
            done, gap = done + size, gap - size
        block = block[:, -gap:] if gap < 0 else block
        block = block if total is None else block[:, : total - done]
        if block.shape[1]:
            yield block
            done += block.shape[1]
        if total is not None and done >= total:
            return
    while total is not None and done < total:
        size = min(total - done, _SILENCE_BLOCK)
        yield np.zeros((channels, size), np.float32)
        done += size


def _positioned(
    path: str | Path, rate: int, channels: int, origin: float | None, start: float
) -> Iterator[tuple[int, Sound]]:
    """Blocks with the sample, counted from ``start``, at which each one belongs."""
    position: int | None = None
    with open_media(path) as container:
        stream = sound_stream(container)
        if stream is None:
            raise BadSampleError(
                path, "has no sound track that can be decoded", "Give a file with sound"
            )
        if origin is None:
            origin = float((stream.start_time or 0) * (stream.time_base or 0))
        if start + origin > 1:  # a second early: the decoder needs a run-up
            try:
                container.seek(int((start + origin - 1) * 1_000_000))
            except av.FFmpegError:
                container.seek(0)
        resampler = _Resampler(rate, channels)
        for frame in chain(_decode(container, stream), [None]):  # None flushes
            if frame is not None and frame.time is not None:
                wanted = (frame.time - origin - start) * rate
                if position is None or abs(wanted - position) > _CLOCK_TOLERANCE * rate:
                    position = round(wanted)
            for block in resampler(frame):
                yield (position or 0), block
                position = (position or 0) + block.shape[1]
    if position is None:
        raise BadSampleError(path, "holds a sound track without sound", "Give another file")


class _Resampler:
    """FFmpeg's resampler, begun anew where a track changes its rate or layout on the way.

    Args:
        rate: Of the result, Hz.
        channels: A of the result.
    """

    def __init__(self, rate: int, channels: int) -> None:
        self._rate, self._channels = rate, channels
        self._inner: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def __call__(self, frame: av.AudioFrame | None) -> Iterator[Sound]:
        """(A, n) each of a frame, or, for None, of what is still held."""
        kind = None if frame is None else (frame.format.name, frame.layout.name, frame.sample_rate)
        if self._inner is not None and kind != self._kind:
            yield from self._blocks(self._inner.resample(None))
            self._inner = None
        if frame is None:
            return
        if self._inner is None:
            many = self._channels == 2 and frame.layout.nb_channels > 2
            # Interleaved: PyAV reads past the pointers of eight or more planes and crashes.
            self._inner = av.AudioResampler("flt", "stereo" if many else None, self._rate)
            self._kind = kind
        yield from self._blocks(self._inner.resample(frame))

    def _blocks(self, frames: list[av.AudioFrame]) -> Iterator[Sound]:
        for out in frames:
            samples = np.asarray(out.to_ndarray(), np.float32).reshape(-1, out.layout.nb_channels)
            yield to_channels(samples.T, self._channels)


def _decode(
    container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[av.AudioFrame]:
    """Frames of a track; broken packets are left out, a cut-off file ends where it is cut."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue
        except av.FFmpegError as error:
            raise undecodable(container) from error


def forbidden(path: str | Path) -> BadSampleError:
    """What to raise where a file is there, but not for this user."""
    return BadSampleError(
        path, "can't be read for lack of permission", "Change it, as by chmod u+r, or copy the file"
    )


def undecodable(container: av.container.InputContainer) -> BadSampleError:
    """What to raise where the decoder gives up."""
    return BadSampleError(container.name, "can't be decoded", "Convert it to H.264 with AAC")


class SoundWindows:
    """Windows of a sound for rising times, of which only the part still needed is kept.

    A window that reaches over an edge of the clip is moved inside, so that the model hears as much
    as it heard in training; a clip shorter than the window is repeated.

    Args:
        chunks: What ``read_sound`` yields, (A, n) each.
        length: Samples of a window.
        sample_rate: Of the chunks, Hz.
    """

    def __init__(self, chunks: Iterator[Sound], *, length: int, sample_rate: int) -> None:
        self.length, self.sample_rate = length, sample_rate
        self._chunks = chunks
        self._kept: Sound | None = None
        self._first = 0  # index of the first sample in _kept
        self._ended = False

    def at(self, time: float) -> Sound:
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
