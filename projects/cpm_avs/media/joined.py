"""Recordings that ``cat`` joined into one file.

FFmpeg reads through the joints of mp3, ADTS, AC-3, MPEG-TS and AVI, and through one of Matroska. Of
WAV, W64, CAF, AIFF, AU, mp4, FLV and ASF it reads the first recording alone, at each joint of FLAC
it loses frames, and of Vorbis it neither knows where a recording begins nor where it ends, to some
milliseconds; all without a word.
"""

import io
import os
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from .ogg_pages import FIRST_PAGE, HEADER, page_length

Span = tuple[int, int]
Content = mmap | bytes
#: A FLAC file begins so: its mark, and the header of STREAMINFO (34 bytes), the last block or not.
_FLAC = (b"fLaC\0\0\0\x22", b"fLaC\x80\0\0\x22")
_MOST_BOXES = 100_000  # of an mp4 that are looked through
#: What the packet in an Ogg stream's first page begins with if it is a sound.
_OGG_SOUNDS = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex   ")
#: What recordings of a format begin with, of which FFmpeg reads so many.
_READ = {
    "matroska": (re.compile(rb"\x1aE\xdf\xa3.{0,60}?(?:matroska|webm)", re.DOTALL), 2),
    "flv": (re.compile(rb"FLV\x01.\0\0\0\x09\0\0\0\0", re.DOTALL), 1),
    "asf": (re.compile(rb"0&\xb2u\x8ef\xcf\x11\xa6\xd9\0\xaa\0b\xcel"), 1),
}


@contextmanager
def content_of(path: str | Path) -> Iterator[Content]:
    """A file's bytes, of which those that are asked for are read."""
    with Path(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:  # which can't be mapped
            yield b""
            return
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            yield content


def parts_of(path: str | Path) -> list[Span]:
    """Where the recordings of a file lie: its first byte and the one behind its last.

    One of a file that was not joined, or whose format FFmpeg reads through joints.
    """
    with content_of(path) as content:
        size, begins = len(content), [0]
        end_of = _end_by_kind(content, 0)
        while end_of is not None:
            end = end_of(content, begins[-1])
            if not begins[-1] < end < size or _end_by_kind(content, end) is not end_of:
                break
            begins.append(end)
    return list(zip(begins, [*begins[1:], size], strict=True))


def what_is_left_out(path: str | Path, form: str) -> str | None:
    """That of the recordings joined in a video some are not read, in words; None if all are.

    Args:
        path: The video.
        form: FFmpeg's name of its format.
    """
    name = form.partition(",")[0]
    if name == "mov":
        count, read = len(parts_of(path)), 1
    elif name in _READ:
        begins, read = _READ[name]
        with content_of(path) as content:
            count = sum(1 for _ in begins.finditer(content))
    else:
        return None
    which = "first alone is" if read == 1 else f"first {read} alone are"
    return (
        f"{count} recordings are joined in it, of which the {which} read" if count > read else None
    )


class Part(io.FileIO):
    """A stretch of a file, as a file to read.

    Args:
        path: The whole.
        span: The stretch's first byte, and the one behind its last.
    """

    def __init__(self, path: str | Path, span: Span) -> None:
        super().__init__(path)
        self.span = self._begin, self._end = span
        self.seek(0)

    def tell(self) -> int:
        return super().tell() - self._begin

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_CUR: super().tell(), io.SEEK_END: self._end}.get(whence, self._begin)
        return super().seek(max(base + offset, self._begin)) - self._begin

    def readinto(self, buffer: Any) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def read(self, size: int | None = -1) -> bytes:
        left = max(self._end - super().tell(), 0)
        return super().read(left if size is None or size < 0 else min(size, left))


def _end_by_kind(content: Content, at: int) -> Callable[[Content, int], int] | None:
    """What finds the end of the recording that begins at a byte; None of other kinds."""
    head = content[at : at + 12]
    if head[:8] in _FLAC:
        return _end_of_flac
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _end_of_wav
    if head[:4] == b"RF64" and head[8:] == b"WAVE":
        return _end_of_rf64
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _end_of_aiff
    if head[:4] == b"riff":
        return _end_of_w64
    if head[:4] == b"caff":
        return _end_of_caf
    if head[:4] == b".snd":
        return _end_of_au
    if head[:6] == FIRST_PAGE:
        return _end_of_ogg
    return _end_of_mp4 if head[4:8] == b"ftyp" else None


def _end_of_flac(content: Content, begin: int) -> int:
    """Where the next one begins; -1 where there is none."""
    found = [content.find(mark, begin + 1) for mark in _FLAC]
    return min((one for one in found if one >= 0), default=-1)


def _end_of_ogg(content: Content, begin: int) -> int:
    """Where the next stream begins; -1 where none does, or several begin beside one another."""
    table = begin + HEADER
    if len(content) < table:
        return -1
    packet = table + content[table - 1]
    end_of_page = begin + page_length(content, begin)
    following = content.find(FIRST_PAGE, begin + 1)
    is_sound = content[packet : packet + 8].startswith(_OGG_SOUNDS)
    return following if is_sound and following > end_of_page else -1


def _end_of_wav(content: Content, begin: int) -> int:
    return _end_of_chunk(content, begin, "<4xI")


def _end_of_rf64(content: Content, begin: int) -> int:
    """Its size is in a chunk of its own."""
    if content[begin + 12 : begin + 16] != b"ds64" or len(content) < begin + 28:
        return -1
    return begin + 8 + struct.unpack_from("<Q", content, begin + 20)[0]


def _end_of_w64(content: Content, begin: int) -> int:
    return begin + struct.unpack_from("<Q", content, begin + 16)[0] if len(content) > 40 else -1


def _end_of_caf(content: Content, begin: int) -> int:
    """Its chunks up to the next file's mark; -1 where there is none."""
    at = begin + 8
    for _ in range(_MOST_BOXES):
        if len(content) < at + 12:
            return -1
        if content[at : at + 4] == b"caff":
            return at
        at += 12 + struct.unpack_from(">Q", content, at + 4)[0]
    return -1


def _end_of_aiff(content: Content, begin: int) -> int:
    return _end_of_chunk(content, begin, ">4xI")


def _end_of_chunk(content: Content, begin: int, header: str) -> int:
    """An odd number of bytes is followed by one more, which some writers leave out."""
    end = begin + 8 + struct.unpack_from(header, content, begin)[0]
    padded = end % 2 != begin % 2 and _end_by_kind(content, end) is None
    return end + padded


def _end_of_au(content: Content, begin: int) -> int:
    if len(content) < begin + 12:
        return -1
    offset, size = struct.unpack_from(">II", content, begin + 4)
    return begin + offset + size


def _end_of_mp4(content: Content, begin: int) -> int:
    """Its boxes up to the next one that says what kind of file follows; -1 where there is none."""
    at = begin
    for _ in range(_MOST_BOXES):
        if len(content) < at + 16:
            return -1
        size, name = struct.unpack_from(">I4s", content, at)
        if name == b"ftyp" and at > begin:
            return at
        if size == 1:
            size = struct.unpack_from(">Q", content, at + 8)[0]
        if size < 8:  # 0 is up to the end
            return -1
        at += size
    return -1
