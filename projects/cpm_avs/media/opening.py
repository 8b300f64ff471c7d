"""Opening a user's file, choosing its tracks, and its packets on one rising clock."""

import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import av

from ..errors import BadSampleError
from .joined import Part

# FFmpeg also reads playlists, which name other files and addresses to open: not from a stranger.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,wav,w64,mp3,flac,"
    "aac,ac3,eac3,aiff,caf,amr,au,gif,apng,mxf,dv"
)
#: Options with which PyAV opens a file of the user.
ONLY_MEDIA = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}

#: Of a picture or a video's frame: from there on Pillow, too, suspects that a file is meant to
#: fill the memory. A server may want less.
MOST_PIXELS = 89_478_485

# What FFmpeg's own program takes for a joint rather than for an irregular time, seconds.
_BACK, _AHEAD = 0.1, 10.0
# Matroska has no times of decoding. Those that FFmpeg makes up rise, but not behind a joint: there
# they are those of showing, which go back by what B-frames need.
_MOST_BACK = 10  # frames
_ADDRESS = re.compile(r"[a-z]{2,}:/")  # a Path has one slash of https://, and C:/ is no address

Track = TypeVar("Track", av.VideoStream, av.AudioStream)


def media_url(path: str | Path) -> str:
    """A path as FFmpeg takes it for nothing but a file: in ``12:30.mp4`` it sees a protocol."""
    return f"file:{os.fspath(path)}"


def is_folder(path: str | Path) -> bool:
    """Whether there is a folder of that name.

    Raises:
        BadSampleError: It may not be looked up, or the name is none.
    """
    try:
        return Path(path).is_dir()
    except PermissionError as error:  # of a folder above
        raise forbidden(path) from error
    except OSError as error:  # such as a name that is too long
        raise BadSampleError(
            path, f"can't be opened ({error.strerror})", "Check the path"
        ) from error


def check_file(path: str | Path) -> None:
    """Refuse what can't be a sound or a video.

    Raises:
        BadSampleError: It is missing, a folder, empty, or may not be read.
    """
    if is_folder(path):
        raise BadSampleError(path, "is a folder", "Name a file in it")
    if not Path(path).is_file():
        if Path(path).exists():
            raise BadSampleError(path, "is a pipe or a device", "Save what it gives as a file")
        if _ADDRESS.match(os.fspath(path)):
            raise BadSampleError(path, "is an address", "Download it, and name the file")
        raise BadSampleError(path, "does not exist", "Check the path")
    if Path(path).stat().st_size == 0:
        raise BadSampleError(path, "is empty (0 bytes)", "Copy or download it again")
    if not os.access(path, os.R_OK):
        raise forbidden(path)


def open_media(path: str | Path, part: Part | None = None) -> av.container.InputContainer:
    """Open a file, or one of the recordings that were joined in it, as one of the usual containers.

    Raises:
        BadSampleError: It is missing, empty, or something else.
    """
    check_file(path)
    try:
        source = media_url(path) if part is None else part
        return av.open(source, mode="r", options=ONLY_MEDIA, metadata_errors="replace")
    except PermissionError as error:  # PyAV's is one, too
        raise forbidden(path) from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadSampleError(
            path, "is no video or sound that can be read", "Convert it to mp4 or wav"
        ) from error


def too_large(path: str | Path, reason: str, most_pixels: int) -> BadSampleError:
    """What to raise of a picture or a frame of more than ``most_pixels``."""
    return BadSampleError(path, reason, f"Make it smaller, to at most {most_pixels} pixels")


def forbidden(path: str | Path) -> BadSampleError:
    """What to raise where a file is there, but not for this user."""
    return BadSampleError(
        path, "can't be read for lack of permission", "Change it, as by chmod u+r, or copy the file"
    )


def default_track(tracks: Sequence[Track]) -> Track | None:
    """The track that players choose: the first of those marked as default, else the first.

    The cover of a music file, which is a picture track too, is none, nor is an unknown codec.
    """
    cover = av.stream.Disposition.attached_pic
    known = [one for one in tracks if one.codec_context is not None and not one.disposition & cover]
    marked = [one for one in known if one.disposition & av.stream.Disposition.default]
    return next(iter(marked or known), None)


def sound_track(
    container: av.container.InputContainer, path: str | Path, number: int | None = None
) -> av.AudioStream | None:
    """A sound track by its number from 1, or the default one; None where there is none.

    Raises:
        BadSampleError: There is no track of that number, or its codec is unknown.
    """
    tracks = list(container.streams.audio)
    if number is None:
        return default_track(tracks)
    if not 1 <= number <= len(tracks) or tracks[number - 1].codec_context is None:
        known = [
            f"{place} ({_describe(track)})"
            for place, track in enumerate(tracks, start=1)
            if track.codec_context is not None
        ]
        raise BadSampleError(
            path, f"has no sound track {number}", f"There are: {', '.join(known) or 'none'}"
        )
    return tracks[number - 1]


def _describe(track: av.AudioStream) -> str:
    words = [track.metadata.get("title"), track.language, track.codec_context.name]
    return ", ".join([*filter(None, words), f"{track.codec_context.layout.name}"])


def steady_packets(
    container: av.container.InputContainer, path: str | Path, wanted: av.stream.Stream
) -> Iterator[av.Packet]:
    """Packets of a track, whose times go on rising where recordings were joined.

    All tracks of sound and picture are followed, so that they stay together after a joint whichever
    of them is wanted. A cut-off file ends where it is cut.

    Raises:
        BadSampleError: The file can't be read on.
    """
    clock = _Clock(has_times_of_decoding="matroska" not in container.format.name)
    packets = container.demux(*container.streams.video, *container.streams.audio)
    while True:
        try:
            packet = next(packets, None)
        except av.error.InvalidDataError:
            return
        except av.FFmpegError as error:
            reason = f"can't be read on ({error.strerror})"
            raise BadSampleError(path, reason, "Copy it again") from error
        if packet is None:
            return
        shift = clock.shift(packet)
        if packet.stream.index != wanted.index:
            continue
        if shift and packet.time_base:
            ticks = round(shift / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
        yield packet


class _Clock:
    """What to add to the times of a container's packets, which begin anew at every joint."""

    def __init__(self, *, has_times_of_decoding: bool) -> None:
        self._ordered = has_times_of_decoding
        self._shifts = [0.0]  # seconds, of each recording that was joined
        self._ends = [-math.inf]  # own time at which each of them ends, seconds
        self._recording: dict[int, int] = {}  # in which of them a track is
        self._due: dict[int, float] = {}  # own time of decoding of a track's next packet

    def shift(self, packet: av.Packet) -> float:
        """Seconds to add to this packet's times."""
        track = packet.stream.index
        current = self._recording.get(track, 0)
        if packet.dts is None or packet.time_base is None:
            return self._shifts[current]
        tick, duration = float(packet.time_base), packet.duration or 0
        now = packet.dts * tick
        shown = now if packet.pts is None else packet.pts * tick
        due = self._due.get(track, now)
        back = _BACK if self._ordered else _BACK + _MOST_BACK * duration * tick
        # A slide show may well pause for long; a joint ahead is ahead of all tracks.
        if now < due - back or now > max(due, self._ends[current]) + _AHEAD:
            current += 1
            if current == len(self._shifts):  # the first track that comes to the joint
                self._shifts.append(self._shifts[-1] + self._ends[-1] - shown)
                self._ends.append(shown)
        self._recording[track] = current
        self._due[track] = now + duration * tick
        self._ends[current] = max(self._ends[current], shown + duration * tick)
        return self._shifts[current]
