"""Writing a video with its sound in sync, in constant memory."""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from .audio_functional import Waveform
from .opening import media_url
from .orientation import matrix_of

# Numbers of matrix, primaries and transfer characteristic alike, ITU-T H.273.
_H273 = {Colorspace.ITU709: 1, Colorspace.ITU601: 6}
_TIMES = Fraction(1, 90_000)  # the usual clock of video, for sources without one of their own
_MPEG4_TIMES = Fraction(1, 60_000)  # of most rates a multiple; MPEG-4 has 65535 ticks at most


class VideoWriter:
    """An mp4 of pictures with rising times, and of a sound that is pulled in beside them.

    H.264 where PyAV's FFmpeg has libx264, else MPEG-4, with times rounded to its clock. H.264 needs
    even sides: an odd one grows by one repeated row or column. The sound is encoded as AAC and cut
    to the pictures' duration.

    Args:
        path: Where to write.
        width: Of the pictures, pixels.
        height: Of the pictures, pixels.
        rate: Mean frames per second.
        time_base: Seconds per tick; the source's own keeps its times exactly.
        sound: Chunks (A, n) float32 from the time of the first picture on, or None.
        sample_rate: Of the sound, Hz.
        channels: Of the sound: 1 or 2.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        width: int,
        height: int,
        rate: Fraction,
        time_base: Fraction = _TIMES,
        sound: Iterator[Waveform] | None = None,
        sample_rate: int = 0,
        channels: int = 0,
    ) -> None:
        self._pad = ((0, height % 2), (0, width % 2), (0, 0))
        self._first: float | None = None
        self._last_tick = -1
        # The index in front lets a browser play while it loads; a .mkv has none to move.
        movable = Path(path).suffix.lower() != ".mkv"
        flags = {"movflags": "+faststart"} if movable else {}
        self._container = av.open(media_url(path), "w", options=flags)
        if "libx264" in av.codecs_available:
            codec, options = "libx264", {"crf": "20", "preset": "veryfast"}
        else:
            codec, options, time_base = "mpeg4", {"qscale": "3"}, _MPEG4_TIMES
        self._tick, self._rate = time_base, rate
        stream = self._container.add_stream(codec, rate=rate, options=options)
        self._video = cast(av.VideoStream, stream)
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.max_b_frames = 0  # then the order written is the order shown
        self._video.codec_context.time_base = time_base
        self._tag_colors()
        self._reformatter = VideoReformatter()  # one for each picture takes 1 ms of each
        self._sound, self._written = sound, 0
        self._rest: Waveform = np.zeros((channels, 0), np.float32)
        self._audio: av.AudioStream | None = None
        if sound is not None:
            layout = "mono" if channels == 1 else "stereo"
            self._audio = self._container.add_stream("aac", rate=sample_rate, layout=layout)
            self._audio.bit_rate = 128_000 * channels

    def _tag_colors(self) -> None:
        """Say how the colours are stored; players guess otherwise, and not all of them alike."""
        self._matrix = matrix_of(self._video.height)
        code = _H273[self._matrix]
        context = self._video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = code
        context.color_range = ColorRange.MPEG

    def write(self, image: np.ndarray, time: float) -> None:
        """Add a picture, (H, W, 3) uint8 RGB, shown from ``time`` seconds on."""
        self._first = time if self._first is None else self._first
        # Two pictures on one tick of the clock would be refused.
        tick = max(round((time - self._first) / self._tick), self._last_tick + 1)
        self._last_tick = tick
        if any(after for _, after in self._pad):
            image = np.pad(image, self._pad, mode="edge")
        picture = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24"), format="yuv420p",
            dst_colorspace=self._matrix, dst_color_range=ColorRange.MPEG,
        )  # fmt: skip
        picture.pts, picture.time_base = tick, self._tick
        self._container.mux(self._video.encode(picture))
        self._pull_sound(float(tick * self._tick))

    def close(self, duration: float | None = None) -> None:
        """Finish the file.

        Args:
            duration: From the first picture to the end of the last, seconds; None shows the last
                one for one mean interval.
        """
        if self._last_tick < 0:
            self._container.close()
            raise ValueError("no frame was written; check start and end against the clip's length")
        last = self._last_tick * self._tick
        end = max(float(last + 1 / self._rate) if duration is None else duration, float(last))
        for packet in self._video.encode(None):
            if packet.pts == self._last_tick:
                packet.duration = max(1, round((end - float(last)) / self._tick))
            self._container.mux(packet)
        self._pull_sound(end)
        if self._audio is not None:
            self._container.mux(self._audio.encode(None))
        self._container.close()

    def _pull_sound(self, until: float) -> None:
        """Encode the sound up to exactly ``until`` seconds, so that neither track runs ahead."""
        if self._sound is None or self._audio is None:
            return
        wanted = round(until * self._audio.rate)
        while self._written < wanted:
            if not self._rest.shape[1]:
                chunk = next(self._sound, None)
                if chunk is None:
                    return
                self._rest = chunk
            block = np.ascontiguousarray(self._rest[:, : wanted - self._written])
            self._rest = self._rest[:, block.shape[1] :]
            layout = "mono" if block.shape[0] == 1 else "stereo"
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = self._audio.rate, self._written
            frame.time_base = Fraction(1, self._audio.rate)
            self._container.mux(self._audio.encode(frame))
            self._written += block.shape[1]

    def abort(self) -> None:
        """Let go of the file without finishing it; a full disk must not hide what went wrong."""
        with suppress(av.FFmpegError):
            self._container.close()
