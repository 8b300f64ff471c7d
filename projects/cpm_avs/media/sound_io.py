"""The one way to hear a file: at a wanted rate, on a clip's clock, in pieces or as a whole.

Shorthand: A channels, n or L samples.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import soxr

from ..constants import SAMPLE_RATE
from ..errors import BadSampleError, UserError
from .audio_functional import Waveform, to_channels
from .sound_decoding import Block, decode_sound

_SILENCE_BLOCK = 16384  # samples, so that an hour of silence is no hour of memory


def load_waveform(
    path: str | Path, *, sample_rate: int = SAMPLE_RATE, channels: int = 1
) -> Waveform:
    """All of a sound file, or of the sound track of a video: what ``read_sound`` gives, joined.

    Args:
        path: File to read.
        sample_rate: Rate wanted, Hz.
        channels: 1 or 2, as in ``read_sound``.

    Returns:
        (channels, L) float32; L comes from what was decoded, not from a header.

    Raises:
        BadSampleError: As in ``read_sound``, and where the file is cut off or damaged, as far as
            its format tells: mkv, webm, avi, ADTS and an mp3 without a Xing header state no length.
    """
    pieces = [*read_sound(path, sample_rate=sample_rate, channels=channels, strict=True)]
    if not pieces:
        raise BadSampleError(
            path, f"the sound has no samples at {sample_rate} Hz", "Give a longer sound"
        )
    return np.ascontiguousarray(pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=1))


def read_sound(
    path: str | Path,
    *,
    sample_rate: int,
    channels: int,
    origin: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    track: int | None = None,
    strict: bool = False,
) -> Iterator[Waveform]:
    """Decode, mix down and resample a sound track of a file.

    A track that starts late, stops early or has holes is filled with silence, so that sample i of
    what comes out lies at ``start + i / sample_rate`` seconds.

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
        track: Number of the sound track, from 1; None takes the default one.
        strict: Whether a damaged or cut-off file is refused; else what is there is taken.

    Yields:
        float32 arrays of shape (A, n), nominally in [-1, 1].

    Raises:
        BadSampleError: The file is missing, empty, not a sound, or holds samples that are no sound.
        UserError: ``channels`` is neither 1 nor 2.
    """
    if channels not in (1, 2):
        raise UserError(f"channels={channels}: the model hears 1 (mono) or 2 (stereo) channels.")
    # Without an origin, time 0 is only known when the first block is there.
    needed = -math.inf if origin is None else start + origin
    blocks = decode_sound(path, start=needed, channels=channels, track=track, strict=strict)
    mixed = (replace(one, samples=to_channels(one.samples, channels)) for one in blocks)
    placed = _without_gaps(mixed, origin, start)
    total = None if end is None else round((end - start) * sample_rate)
    return _exactly(_at_rate(placed, sample_rate), total, channels)


def _without_gaps(blocks: Iterator[Block], origin: float | None, start: float) -> Iterator[Block]:
    """Blocks that follow each other from second ``start`` on: holes are silent, overlaps cut."""
    done = start  # seconds from the origin, up to which all is there
    early = 0  # samples that come before that
    for block in blocks:
        if origin is None:
            origin = block.time or 0.0
        samples, rate = block.samples, block.rate
        if block.time is not None:
            early = -round((block.time - origin - done) * rate)
        while early < 0:
            size = min(-early, _SILENCE_BLOCK)
            yield Block(np.zeros((len(samples), size), np.float32), rate, None)
            done, early = done + size / rate, early + size
        known = min(early, samples.shape[1])
        samples, early = samples[:, known:], early - known
        if samples.shape[1]:
            yield Block(samples, rate, None)
            done += samples.shape[1] / rate


def _at_rate(blocks: Iterator[Block], rate: int) -> Iterator[Waveform]:
    """Resampled in one stream, begun anew where a track changes its rate."""
    stream: soxr.ResampleStream | None = None
    own, channels = rate, 0
    for block in blocks:
        if stream is not None and block.rate != own:
            yield _resampled(stream, np.zeros((channels, 0), np.float32), last=True)
            stream = None
        own, channels = block.rate, len(block.samples)
        if own == rate:
            yield block.samples
            continue
        if stream is None:
            stream = soxr.ResampleStream(own, rate, channels, dtype="float32")
        yield _resampled(stream, block.samples)
    if stream is not None:
        yield _resampled(stream, np.zeros((channels, 0), np.float32), last=True)


def _resampled(stream: soxr.ResampleStream, samples: Waveform, last: bool = False) -> Waveform:
    return stream.resample_chunk(np.ascontiguousarray(samples.T), last=last).T


def _exactly(chunks: Iterator[Waveform], total: int | None, channels: int) -> Iterator[Waveform]:
    """Chunks that hold something, cut or filled with silence to ``total`` samples, if given."""
    done = 0
    for chunk in chunks:
        chunk = chunk if total is None else chunk[:, : total - done]
        if chunk.shape[1]:
            yield chunk
            done += chunk.shape[1]
        if total is not None and done >= total:
            return
    while total is not None and done < total:
        size = min(total - done, _SILENCE_BLOCK)
        yield np.zeros((channels, size), np.float32)
        done += size
