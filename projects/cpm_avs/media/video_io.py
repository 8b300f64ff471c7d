"""Reading a video, with its true times and upright, in constant memory."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ..structures import BadSampleError
from .orientation import upright
from .sound_io import open_media, sound_stream, undecodable


@dataclass(frozen=True)
class VideoInfo:
    """What a video says of itself, as it is shown (turned upright).

    Attributes:
        width: Pixels.
        height: Pixels.
        frames: Number of frames.
        duration: From the first frame to the end of the last, seconds.
        rate: Mean frames per second.
        time_base: Seconds per tick of the stream's clock.
        origin: The container's time of the first frame, seconds.
        sample_rate: Of the sound, Hz; 0 without a sound track.
        channels: Of the sound; 0 without a sound track.
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
    path: str | Path, most_pixels: int | None
) -> tuple[av.container.InputContainer, av.VideoStream]:
    container = open_media(path)
    # The cover of a music file is a video stream too, of one picture.
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        container.close()
        raise BadSampleError(
            path, "has no picture track", "For a sound, give an image with it (--audio)"
        )
    if streams[0].codec_context is None:
        container.close()
        raise BadSampleError(
            path, "its picture is of an unknown codec", "Convert it to H.264 with AAC"
        )
    streams[0].thread_type = "AUTO"
    if most_pixels is not None:
        # So the decoder takes no memory for a frame that is far larger; it counts some margin, too.
        streams[0].codec_context.options = {"max_pixels": str(2 * most_pixels)}
    return container, streams[0]


def probe(path: str | Path, *, most_pixels: int | None = None) -> VideoInfo:
    """Read a video's properties; counts its packets, since headers are often missing or wrong.

    Args:
        path: A video.
        most_pixels: Of its first frame; None sets no limit.

    Raises:
        BadSampleError: The file is missing, empty, not a video, or has no frame, or too large ones.
    """
    container, stream = _open_video(path, most_pixels)
    with container:
        first = next(_pictures(container, stream, most_pixels), None)
    container, stream = _open_video(path, most_pixels)
    with container:
        starts: list[int] = []
        count, last, last_duration = 0, -1, 0
        for packet in _packets(container, stream):
            if packet.pts is None or packet.is_discard:
                continue
            count += 1
            starts = [min(starts + [packet.pts])]
            if packet.pts > last:
                last, last_duration = packet.pts, packet.duration or 0
        if first is None or not starts or stream.time_base is None:
            raise BadSampleError(
                path, "is a video without a frame (zero length)", "Record it again"
            )
        origin, picture = first
        height, width = upright(picture).shape[:2]
        tick = stream.time_base
        mean = stream.average_rate or stream.guessed_rate or Fraction(25)
        if count > 1:
            mean = stream.average_rate or Fraction(count - 1) / ((last - starts[0]) * tick)
        duration = (last - starts[0] + last_duration) * tick if last_duration else None
        sound = sound_stream(container)
        return VideoInfo(
            width=width,
            height=height,
            frames=count,
            duration=float(duration or (last - starts[0]) * tick + 1 / mean),
            rate=mean,
            time_base=tick,
            origin=origin,
            sample_rate=sound.rate if sound else 0,
            channels=sound.channels if sound else 0,
        )


def read_frames(
    path: str | Path,
    *,
    origin: float | None = None,
    start: float = 0.0,
    end: float | None = None,
    most_pixels: int | None = None,
) -> Iterator[Frame]:
    """Decode frames one by one, upright, with their times.

    Args:
        path: A video.
        origin: ``VideoInfo.origin``; None takes the time of the first frame.
        start: First second wanted.
        end: Frames at or after this second are left out; None reads to the end.
        most_pixels: Of each frame; None sets no limit.

    Raises:
        BadSampleError: The file can't be read, or has too large a frame.
    """
    container, stream = _open_video(path, most_pixels)
    with container:
        if start > 0:
            # A second early: of an AVI a picture's time is later than that of its packet.
            early = max(0.0, start + (origin or 0) - 1)
            try:
                container.seek(int(early * 1_000_000))
            except av.FFmpegError:  # no index: decode from the beginning
                container.seek(0)
        for moment, picture in _pictures(container, stream, most_pixels):
            origin = moment if origin is None else origin
            time = moment - origin
            if end is not None and time >= end - 1e-6:
                return
            if time >= start - 1e-6:
                yield Frame(time, upright(picture))


def _pictures(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    most_pixels: int | None = None,
) -> Iterator[tuple[float, av.VideoFrame]]:
    """Pictures in the order in which they are shown, with the container's time, seconds."""
    # An AVI has no times: FFmpeg numbers its packets as they come. With B-frames the pictures leave
    # the decoder in another order, in which only the times of decoding rise.
    unordered = container.format.name == "avi" and stream.codec_context.has_b_frames
    tick, last = stream.time_base or Fraction(0), 0.0
    for packet in _packets(container, stream):
        try:
            decoded = packet.decode()
        except av.error.InvalidDataError:  # one broken picture; the next key frame heals it
            continue
        except av.FFmpegError as error:
            # So the decoder refuses a size, but it may mean something else, too.
            if most_pixels is not None and isinstance(error, av.error.ArgumentError):
                raise BadSampleError(
                    container.name,
                    f"has a frame of more than {most_pixels} pixels, or one that can't be decoded",
                    "Make its frames smaller",
                ) from error
            raise undecodable(container) from error
        for picture in decoded:
            if most_pixels is not None and picture.width * picture.height > most_pixels:
                raise BadSampleError(
                    container.name,
                    f"has a frame of {picture.width} x {picture.height} pixels, which is too large",
                    f"Make its frames smaller, to at most {most_pixels} pixels",
                )
            time = picture.time
            if unordered:  # pictures that the decoder holds to the end have no time of decoding
                time = last + float(tick) if picture.dts is None else float(picture.dts * tick)
            if time is not None:
                last = time
                yield time, picture


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """Packets of a stream; a cut-off file ends where it is cut."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            return
        if packet is None:
            return
        yield packet
