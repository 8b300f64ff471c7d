"""What the headers of sound files say of their length, and whether that can be believed."""

import struct
from pathlib import Path
from typing import NamedTuple

import av

from .joined import Span, content_of, parts_of
from .ogg_pages import FIRST_PAGE, pages_are_whole

_MOST_CHUNKS = 1000  # of a file that are looked through
# Formats whose header states the length rather than that FFmpeg guesses it.
_STATED = ("mov,", "flac", "w64", "aiff", "caf", "au", "asf", "ogg")


class _Form(NamedTuple):
    """How chunks follow one another.

    Attributes:
        first: Byte at which the first one begins.
        header: A chunk's name and length.
        counted: Bytes of the header that the length counts.
        step: Bytes to a multiple of which a chunk is filled up.
        unknown: Length from which on it is none: programs that write to a pipe can't go back to
            fill it in, and leave 0, nearly 2 or 4 GiB, or as much as the field holds.
    """

    first: int
    header: struct.Struct
    counted: int
    step: int
    unknown: int


_WAV = _Form(12, struct.Struct("<4sI"), 0, 2, 0x7FFF0000)
_RF64 = _WAV._replace(unknown=1 << 62)  # whose length is in a chunk of its own
_W64 = _Form(40, struct.Struct("<16sQ"), 24, 8, 1 << 62)
_CAF = _Form(8, struct.Struct(">4sQ"), 0, 1, 1 << 62)


def is_whole(path: Path, part: Span | None = None) -> bool:
    """Whether a file is a WAV that holds what it states, or one Ogg stream from end to end.

    Of such a file libsndfile gives every sample. Others it refuses, or reads a part without a word.

    Args:
        path: The file.
        part: Where in it a recording lies; None: there is one, unless several were joined.
    """
    begin, end = part or (0, path.stat().st_size)
    form, sounds = _sounds(path, begin, end)
    if form in (_WAV, _RF64):
        is_one = len(sounds) == 1 and 0 < sounds[0][0] <= sounds[0][1]
        return is_one and (part is not None or len(parts_of(path)) == 1)
    with content_of(path) as content:
        is_one = content.rfind(FIRST_PAGE, begin, end) == begin
        return is_one and pages_are_whole(content, begin, end)


def is_cut_off(path: Path) -> bool:
    """Whether a WAV, W64 or CAF file is shorter than it says, or an Ogg file lacks some of a page.

    Decoders read them without a word.
    """
    parts = parts_of(path)
    form, sounds = _sounds(path, *parts[-1])
    if form is not None:  # some writers count a pad byte that they leave out
        return any(there + 1 < stated for stated, there in sounds)
    with content_of(path) as content:
        is_ogg = content[:4] == b"OggS"
        return is_ogg and not all(pages_are_whole(content, *part) for part in parts)


def has_two_sounds(path: Path) -> bool:
    """Whether a recording has two chunks of sound, of which decoders read one, or nothing."""
    return any(len(_sounds(path, *part)[1]) > 1 for part in parts_of(path))


def states_its_length(container: av.container.InputContainer, path: Path) -> bool:
    """Whether the duration that FFmpeg gives is the header's; else it is guessed from the size."""
    name = container.format.name
    return name.startswith(_STATED) or (name == "mp3" and _has_xing(path))


def _form_of(head: bytes) -> _Form | None:
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _WAV if head[:4] == b"RIFF" else _RF64
    if head[:4] == b"riff" and head[24:28] == b"wave":
        return _W64
    return _CAF if head[:4] == b"caff" else None


def _sounds(path: Path, begin: int, end: int) -> tuple[_Form | None, list[Span]]:
    """Of each chunk of sound the bytes that it states (0: unknown), and those that there are.

    None instead of the form if a part is neither WAV nor W64 nor CAF.
    """
    found: list[Span] = []
    with path.open("rb") as file:
        file.seek(begin)
        form = _form_of(file.read(28))
        if form is None:
            return None, found
        at, large = begin + form.first, None
        for _ in range(_MOST_CHUNKS):
            if at + form.header.size > end:
                break
            file.seek(at)
            name, length = form.header.unpack(file.read(form.header.size))
            at += form.header.size
            length = max(length - form.counted, 0)
            if form is _RF64 and name == b"ds64" and len(sizes := file.read(16)) == 16:
                large = struct.unpack("<8xQ", sizes)[0]
            if name[:4] == b"data":
                length = length if large is None else large
                is_known = length <= end - at or length < form.unknown
                found.append((length if is_known else 0, end - at))
            at += length + -(length + form.header.size) % form.step
    return form, found


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
