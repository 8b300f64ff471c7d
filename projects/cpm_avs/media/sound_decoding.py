"""Decoding a sound at its own rate, for all who hear: training, checks, inferencer and page.

Shorthand: A channels, n samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile

from ..errors import BadSampleError
from .audio_functional import RATES, Waveform
from .joined import Part, parts_of, what_is_left_out
from .opening import check_file, default_track, open_media, sound_track, steady_packets
from .sound_headers import has_two_sounds, is_cut_off, is_whole, states_its_length

_REMEDY = "Extract the sound again or leave it out"
_BLOCK = 1 << 18  # frames of a WAV file at a time
_LOUDEST = 16.0  # far above full scale, which is 1, and far below 16-bit numbers
_RUN_UP = 1.0  # seconds that a decoder is given before the first sample wanted
_SHORT = 0.25  # seconds that a header may promise too much
_PIECE = 1 << 14  # samples
# A jump of the stream's own clock below this is rounding (Matroska counts milliseconds).
_CLOCK_TOLERANCE = 0.05  # seconds
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICSBEGIN")
_PLAIN = {
    "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW", "VORBIS", "OPUS",
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A piece of a sound.

    Attributes:
        samples: (A, n) float32, nominally in [-1, 1].
        rate: Hz.
        time: The file's time of the first sample, seconds; None where it follows the one before.
    """

    samples: Waveform
    rate: int
    time: float | None


def decode_sound(
    path: str | Path,
    *,
    start: float = -math.inf,
    channels: int = 1,
    track: int | None = None,
    strict: bool = False,
) -> Iterator[Block]:
    """Decode a sound track, block by block.

    Args:
        path: A sound, or a video.
        start: The file's time before which nothing is needed, seconds; blocks may begin earlier.
        channels: 1 or 2 that will be made of it: of more than two, two are mixed here, as FFmpeg
            does for listening.
        track: Number of the sound track, from 1; None takes the default one.
        strict: Whether a damaged or cut-off file is refused; else what is there is taken.

    Yields:
        Blocks; none of an empty track.

    Raises:
        BadSampleError: The file is missing, empty, not a sound, has no such track, or holds
            samples that are no sound.
    """
    check_file(path)
    if strict and is_cut_off(Path(path)):
        raise BadSampleError(path, "the sound file is truncated or damaged", _REMEDY)
    if has_two_sounds(Path(path)):
        reason = "has two chunks of sound (data), of which decoders read one"
        raise BadSampleError(path, reason, "Write it anew with one")
    blocks = _plain_blocks(path, start, channels) if track in (None, 1) else None
    if blocks is None:
        blocks = _any_blocks(path, start, channels, track, strict)
    seconds = 0.0
    for block in blocks:
        seconds = seconds if block.time is None else block.time
        refuse_no_sound(path, block, seconds)
        yield block
        seconds += block.samples.shape[1] / block.rate


def refuse_no_sound(path: str | Path, block: Block, seconds: float) -> None:
    """Raise ``BadSampleError`` where samples, whose first is at ``seconds``, are no sound."""
    if not RATES[0] <= block.rate <= RATES[1]:
        raise BadSampleError(path, f"the sound states a rate of {block.rate} Hz", _REMEDY)
    peak = max(block.samples.max(initial=0), -block.samples.min(initial=0))
    if peak <= _LOUDEST:  # not so for NaN
        return
    wrong = np.flatnonzero(~(np.abs(block.samples).max(axis=0) <= _LOUDEST))[0]
    at = f"at {seconds + wrong / block.rate:.3f} s"
    if not np.isfinite(block.samples).all():
        raise BadSampleError(path, f"the sound is not finite (NaN or infinity) {at}", _REMEDY)
    raise BadSampleError(
        path,
        f"the sound reaches {peak:.0f} {at}, where full scale is 1: these are 16-bit or other "
        "integers stored as floats",
        "Divide them by their full scale, such as 32768, or store them as integers",
    )


def open_plain(
    path: str | Path, channels: int, part: Part | None = None
) -> soundfile.SoundFile | None:
    """A plain WAV or Ogg file, or such a part; None of another, or if FFmpeg has to mix it down.

    libsndfile reads WAV several times faster than FFmpeg, and of Vorbis it gives each sample where
    FFmpeg leaves out the first.
    """
    if not is_whole(Path(path), None if part is None else part.span):
        return None
    try:
        file = soundfile.SoundFile(path if part is None else part)
    except (soundfile.SoundFileError, OSError, ValueError):
        return None
    if file.subtype not in _PLAIN or (channels == 2 and file.channels > 2):
        file.close()
        return None
    return file


def _plain_blocks(
    path: str | Path, start: float, channels: int, part: Part | None = None
) -> Iterator[Block] | None:
    file = open_plain(path, channels, part)
    if file is None:
        return None

    def blocks() -> Iterator[Block]:
        with file:
            begin = min(int(max(0.0, start) * file.samplerate), file.frames)
            file.seek(begin)
            time: float | None = begin / file.samplerate
            while begin < file.frames:
                samples = file.read(_BLOCK, dtype="float32", always_2d=True)
                planes = np.ascontiguousarray(samples.T)
                yield Block(planes, file.samplerate, time)
                begin, time = begin + _BLOCK, None

    return blocks()


def _any_blocks(
    path: str | Path, start: float, channels: int, track: int | None, strict: bool
) -> Iterator[Block]:
    spans = parts_of(path)
    if len(spans) == 1:
        with open_media(path) as container:
            if strict:
                _refuse_left_out(container, path)
            yield from _blocks_of(container, path, start, channels, track, strict)
        return
    for number, span in enumerate(spans):
        with Part(path, span) as part:
            blocks = _plain_blocks(path, start=-math.inf, channels=channels, part=part)
            if blocks is None or track not in (None, 1):
                part.seek(0)
                blocks = _blocks_of_part(part, path, channels, track, strict, first=not number)
            yield from (replace(one, time=None) if number else one for one in blocks)


def _blocks_of_part(
    part: Part, path: str | Path, channels: int, track: int | None, strict: bool, *, first: bool
) -> Iterator[Block]:
    try:
        container = open_media(path, part)
    except BadSampleError:
        if first or strict:
            raise
        return  # a stump of what was cut off
    with container:
        # Of pictures the first recording's alone are shown.
        if first or default_track(container.streams.video) is None:
            yield from _blocks_of(container, path, -math.inf, channels, track, strict)
        elif strict:
            _refuse_left_out(container, path)


def _refuse_left_out(container: av.container.InputContainer, path: str | Path) -> None:
    if left_out := what_is_left_out(path, container.format.name):
        raise BadSampleError(path, left_out, "Join them by ffmpeg -f concat")


def _blocks_of(
    container: av.container.InputContainer,
    path: str | Path,
    start: float,
    channels: int,
    track: int | None,
    strict: bool,
) -> Iterator[Block]:
    decoded = 0.0
    stream = sound_track(container, path, track)
    if stream is None:
        kind = "of an unknown codec" if container.streams.audio else "missing"
        raise BadSampleError(
            path, f"has no sound track that can be decoded (it is {kind})", "Give a file with sound"
        )
    stated = 0.0
    if stream.duration and stream.time_base and states_its_length(container, Path(path)):
        stated = float(stream.duration * stream.time_base)
    to_floats = _ToFloats(channels)
    frames = _frames(container, path, stream, start, strict)
    for block in _in_pieces(one for frame in frames for one in to_floats(frame)):
        decoded += block.samples.shape[1] / block.rate
        yield block
    if strict and decoded < stated - _SHORT:
        raise BadSampleError(path, "the sound track is truncated", _REMEDY)


def _in_pieces(blocks: Iterator[Block]) -> Iterator[Block]:
    """Blocks of a frame each joined to longer ones, which are faster; a time is left at a jump."""
    held: list[Waveform] = []
    rate, time, due, size = 0, None, -math.inf, 0
    for block in blocks:
        jumps = block.time is not None and abs(block.time - due) > _CLOCK_TOLERANCE
        other = bool(held) and (block.rate, len(block.samples)) != (rate, len(held[0]))
        if held and (jumps or other or size > _PIECE):
            yield Block(np.concatenate(held, axis=1), rate, time)
            held, time, size = [], None, 0
        if block.time is not None and jumps:
            time = due = block.time
        rate = block.rate
        held.append(block.samples)
        size += block.samples.shape[1]
        due += block.samples.shape[1] / rate
    if held:
        yield Block(np.concatenate(held, axis=1), rate, time)


def _frames(
    container: av.container.InputContainer,
    path: str | Path,
    stream: av.AudioStream,
    start: float,
    strict: bool,
) -> Iterator[av.AudioFrame]:
    """Frames of a track from ``start`` on; broken packets are left out unless ``strict``."""
    begun = False
    for packet in steady_packets(container, path, stream):
        time = packet.pts if packet.dts is None else packet.dts
        if time is not None and packet.time_base and time * packet.time_base < start - _RUN_UP:
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            # Decoders have other errors for a broken packet, too, and for all of what they lack.
            if not begun and not isinstance(error, av.error.InvalidDataError):
                raise undecodable(path) from error
            # A recording may begin amid a packet, and joined mp3 files hold tags.
            if strict and begun and not bytes(packet).startswith(_TAGS):
                raise BadSampleError(path, "the sound is damaged", _REMEDY) from error
        else:
            begun = begun or bool(frames)
            yield from cast(list[av.AudioFrame], frames)


class _ToFloats:
    """Decoded frames as floats; a track may change its rate and channels on the way."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._inner: av.AudioResampler | None = None
        self._kind: tuple[str, str, int] | None = None

    def __call__(self, frame: av.AudioFrame) -> Iterator[Block]:
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            many = self._channels == 2 and frame.layout.nb_channels > 2
            # Of channels without places, as in a WAV of nine, the first two are as good as any.
            many = many and not frame.layout.name.endswith(" channels")
            # Interleaved: PyAV reads past the pointers of eight or more planes and crashes.
            layout = "stereo" if many else frame.layout
            self._inner, self._kind = av.AudioResampler("flt", layout, frame.sample_rate), kind
        assert self._inner is not None
        time = frame.time
        for out in self._inner.resample(frame):
            samples = np.asarray(out.to_ndarray(), np.float32).reshape(-1, out.layout.nb_channels)
            yield Block(np.ascontiguousarray(samples.T), frame.sample_rate, time)
            time = None


def undecodable(path: str | Path) -> BadSampleError:
    """What to raise where the decoder gives up."""
    return BadSampleError(path, "can't be decoded", "Convert it to H.264 with AAC")
