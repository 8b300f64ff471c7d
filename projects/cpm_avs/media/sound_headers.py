"""What the headers of sound files say of their length, and whether that can be believed."""

import struct
from os import SEEK_CUR
from pathlib import Path

import av

from .joined import Span, content_of, parts_of
from .ogg_pages import FIRST_PAGE, pages_are_whole

# Programs that write to a pipe can't go back to fill in sizes, and leave 0 or nearly 2 or 4 GiB.
_UNKNOWN_SIZE = 0x7FFF0000
# Formats whose header states the length rather than that FFmpeg guesses it.
_STATED = ("mov,", "flac", "w64", "aiff", "caf", "au", "asf", "ogg")


def is_whole(path: Path, part: Span | None = None) -> bool:
    """Whether a file is a WAV that holds what it states, or one Ogg stream from end to end.

    Of such a file libsndfile gives every sample. Others it refuses, or reads a part without a word.

    Args:
        path: The file.
        part: Where in it a recording lies; None: there is one, unless several were joined.
    """
    begin, end = part or (0, path.stat().st_size)
    chunks = _wav_chunks(path, begin, end)
    if chunks is not None:
        return 0 < chunks[0] <= chunks[1] and (part is not None or len(parts_of(path)) == 1)
    with content_of(path) as content:
        is_one = content.rfind(FIRST_PAGE, begin, end) == begin
        return is_one and pages_are_whole(content, begin, end)


def is_cut_off(path: Path) -> bool:
    """Whether a WAV file is shorter than it says, or an Ogg file lacks (part of) a page.

    Decoders read both without a word.
    """
    parts = parts_of(path)
    chunks = _wav_chunks(path, *parts[-1])
    if chunks is not None:
        stated, there = chunks
        return there + 1 < stated < _UNKNOWN_SIZE  # some writers count a pad byte they leave out
    with content_of(path) as content:
        is_ogg = content[:4] == b"OggS"
        return is_ogg and not all(pages_are_whole(content, *part) for part in parts)


def states_its_length(container: av.container.InputContainer, path: Path) -> bool:
    """Whether the duration that FFmpeg gives is the header's; else it is guessed from the size."""
    name = container.format.name
    return name.startswith(_STATED) or (name == "mp3" and _has_xing(path))


def _wav_chunks(path: Path, begin: int, end: int) -> tuple[int, int] | None:
    """Bytes of sound that a WAVE part states, and those that are there; None of another."""
    large = None  # an RF64's size, for which the chunk of sound has no room
    with path.open("rb") as file:
        file.seek(begin)
        head = file.read(12)
        if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return length if large is None else large, end - file.tell()
            if head[:4] == b"RF64" and name == b"ds64" and length >= 16:
                large = struct.unpack("<8xQ", file.read(16))[0]
                length -= 16
            file.seek(length + length % 2, SEEK_CUR)
    return 0, 0


def _has_xing(path: Path) -> bool:
    """Whether an mp3 states its number of frames, in a frame of its own before the sound."""
    with path.open("rb") as file:
        head = file.read(10)
        if head[:3] == b"ID3":  # the size has 7 bits a byte
            skip = 0
            for byte in head[6:10]:
                skip = skip << 7 | byte & 0x7F
            file.seek(10 + skip)
        else:
            file.seek(0)
        first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))
