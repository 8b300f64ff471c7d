"""Reading a video, with its true times and upright, in constant memory."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import BadSampleError
from .joined import what_is_left_out
from .opening import MOST_PIXELS, default_track, open_media, sound_track, steady_packets, too_large
from .orientation import square_size, upright
from .sound_decoding import decode_sound, undecodable


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, as it is shown (upright, of square pixels).

    Attributes:
        width: Pixels.
        height: Pixels.
        frames: Number of frames.
        duration: From the first frame to the end of the last, seconds.
        rate: Mean frames per second.
        time_base: Seconds per tick of the stream's clock.
        origin: The container's time of the first frame, seconds.
        sample_rate: Of the sound, Hz; 0 without a sound track or with an empty one.
        channels: Of the sound; 0 likewise.
    """

    width: int
    height: int
    frames: int
    duration: float
    rate: Fraction
    time_base: Fraction
    origin: float
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        time: Seconds from the clip's first frame; the sound around it goes with the picture.
        image: (H, W, 3) uint8, BGR.
        shown_from: When it appears, if not at ``time``: a picture that stands for a stretch of
            sound appears at its beginning and is heard in its middle.
    """

    time: float
    image: np.ndarray
    shown_from: float | None = None

    @property
    def shown(self) -> float:
        """Second at which it appears."""
        return self.time if self.shown_from is None else self.shown_from


def _open_video(
    path: str | Path, most_pixels: int
) -> tuple[av.container.InputContainer, av.VideoStream]:
    container = open_media(path)
    stream = default_track(container.streams.video)
    if stream is not None:
        stream.thread_type = "AUTO"
        # So the decoder takes no memory for a frame that is far larger; it counts some margin.
        stream.codec_context.options = {"max_pixels": str(2 * most_pixels)}
        return container, stream
    cover = av.stream.Disposition.attached_pic
    tracks = [one for one in container.streams.video if not one.disposition & cover]
    container.close()
    if tracks:
        raise BadSampleError(
            path, "its picture is of an unknown codec", "Convert it to H.264 with AAC"
        )
    raise BadSampleError(
        path, "has no picture track", "For a sound, give an image with it (--audio)"
    )


def probe(
    path: str | Path, *, track: int | None = None, most_pixels: int = MOST_PIXELS
) -> VideoInfo:
    """Read a video's properties; counts its packets, since headers are often missing or wrong.

    What lies before the first picture that can be decoded, as in a recording that begins amid a
    group of pictures, does not count.

    Args:
        path: A video.
        track: Number of the sound track, from 1; None takes the default one.
        most_pixels: Of its first frame.

    Raises:
        BadSampleError: The file is missing, empty, not a video, has no frame or a too large one, or
            no such track.
    """
    container, stream = _open_video(path, most_pixels)
    with container:
        if left_out := what_is_left_out(path, container.format.name):
            warnings.warn(f"{path}: {left_out}; join them by ffmpeg -f concat", stacklevel=2)
        first = next(_pictures(container, path, stream, most_pixels=most_pixels), None)
        tick = stream.time_base
        if first is None or tick is None:
            raise BadSampleError(
                path, "is a video without a frame (zero length)", "Record it again"
            )
        origin, picture = first
        height, width = upright(picture, stream.sample_aspect_ratio).shape[:2]
    container, stream = _open_video(path, most_pixels)
    with container:
        earliest = None if _is_unordered(container, stream) else round(origin / tick)
        count, ticks, last_duration = _count(steady_packets(container, path, stream), earliest)
        span = Fraction(ticks) * tick
        mean = stream.average_rate or stream.guessed_rate or Fraction(25)
        counted = Fraction(count - 1) / span if span else mean
        if not 0.9 < mean / counted < 1.1:  # a .dv states 60000
            mean = counted
    rate, channels = _heard(path, track)
    return VideoInfo(
        width=width,
        height=height,
        frames=max(count, 1),
        duration=float(span + (last_duration * tick if last_duration else 1 / mean)),
        rate=mean,
        time_base=tick,
        origin=origin,
        sample_rate=rate,
        channels=channels,
    )


def _heard(path: str | Path, track: int | None) -> tuple[int, int]:
    """Sample rate and channels of the first sound; 0 of a track that is missing or empty."""
    with open_media(path) as container:
        if sound_track(container, path, track) is None:
            return 0, 0
    first = next(decode_sound(path, track=track), None)
    return (first.rate, len(first.samples)) if first else (0, 0)


def read_frames(
    path: str | Path,
    *,
    origin: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Iterator[Frame]:
    """Decode frames one by one, as they are shown, with their times.

    Args:
        path: A video.
        origin: ``VideoInfo.origin``; None takes the time of the first frame.
        start: First second wanted.
        end: Frames at or after this second are left out; None reads to the end.
        most_pixels: Of each frame.

    Raises:
        BadSampleError: The file can't be read, or has too large a frame.
    """
    first = 0
    if start > 0:
        origin = probe(path).origin if origin is None else origin
        first = _key_before(path, start + origin)
    container, stream = _open_video(path, most_pixels)
    with container:
        aspect, reformatter = stream.sample_aspect_ratio, VideoReformatter()
        for moment, picture in _pictures(container, path, stream, first, most_pixels):
            origin = moment if origin is None else origin
            time = moment - origin
            if end is not None and time >= end - 1e-6:
                return
            if time >= start - 1e-6:
                yield Frame(time, upright(picture, aspect, reformatter))


def _count(packets: Iterable[av.Packet], earliest: int | None) -> tuple[int, int, int]:
    """Number of pictures, ticks from the first to the last, and ticks that the last one lasts.

    Args:
        packets: Of the track.
        earliest: Tick before which they do not count; None: all do.
    """
    count, begin, last, last_duration = 0, earliest, earliest, 0
    for packet in packets:
        if packet.pts is None or packet.is_discard:
            continue
        if earliest is not None and packet.pts < earliest:
            continue
        count += 1
        begin = packet.pts if begin is None else min(begin, packet.pts)
        if last is None or packet.pts >= last:
            last, last_duration = packet.pts, packet.duration or 0
    return count, (last or 0) - (begin or 0), last_duration


def _key_before(path: str | Path, moment: float) -> int:
    """Number of the packet from which on pictures from ``moment`` on can be decoded.

    FFmpeg's own seeking lands amid a group of pictures where a container has no index, and loses
    what follows up to the next key frame; so packets are looked through instead.
    """
    key = 0
    container, stream = _open_video(path, MOST_PIXELS)
    with container:
        for number, packet in enumerate(steady_packets(container, path, stream)):
            time = packet.dts if packet.pts is None else packet.pts
            if time is None or packet.time_base is None:
                continue
            # A second early: of an AVI a picture's time is later than that of its packet.
            if time * packet.time_base > moment - 1:
                if packet.dts is None or packet.dts * packet.time_base > moment:
                    break
            elif packet.is_keyframe:
                key = number
    return key


def _is_unordered(container: av.container.InputContainer, stream: av.VideoStream) -> bool:
    """Whether pictures come without their times, in another order than they are shown in.

    An AVI has none: FFmpeg numbers its packets as they come.
    """
    return container.format.name == "avi" and bool(stream.codec_context.has_b_frames)


def _pictures(
    container: av.container.InputContainer,
    path: str | Path,
    stream: av.VideoStream,
    first: int = 0,
    most_pixels: int = MOST_PIXELS,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Pictures from a packet on, in the order shown, with the container's time in seconds."""
    unordered = _is_unordered(container, stream)
    tick, last = stream.time_base or Fraction(0), 0.0
    for packet in islice(steady_packets(container, path, stream), first, None):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:  # one broken picture; the next key frame heals it
            continue
        except av.FFmpegError as error:
            # So the decoder refuses a size, but it may mean something else, too.
            if isinstance(error, av.error.ArgumentError):
                raise BadSampleError(
                    path,
                    f"has a frame of more than {most_pixels} pixels, or one that can't be decoded",
                    "Make its frames smaller",
                ) from error
            raise undecodable(path) from error
        for picture in decoded:
            width, height = square_size(picture, stream.sample_aspect_ratio)
            if width * height > most_pixels:
                reason = f"has a frame of {width} x {height} pixels, which is too large"
                raise too_large(path, reason, most_pixels)
            time = picture.time
            if unordered:  # only the times of decoding rise
                # Pictures that the decoder holds to the end have none.
                time = last + float(tick) if picture.dts is None else float(picture.dts * tick)
            if time is not None:
                last = time
                yield time, picture
