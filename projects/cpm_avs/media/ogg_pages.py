"""Ogg pages (RFC 3533): whether all of them are there, as they were written.

A decoder passes over a damaged or a missing page. FFmpeg goes by the times of the next one,
libsndfile joins what is left, so that all behind it is heard too early.
"""

import struct
from mmap import mmap
from zlib import crc32

HEADER = 27  # bytes before the table of segments
#: A page that a stream begins with.
FIRST_PAGE = b"OggS\0\2"
_FIRST, _LAST = 0x02, 0x04  # flags
_CHECKSUM = slice(22, 26)
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def pages_are_whole(content: mmap | bytes, begin: int, end: int) -> bool:
    """Whether page follows page, up to one that is marked as the last, with nothing amiss.

    Args:
        content: A file's bytes.
        begin: Where the first page begins.
        end: Where to stop; other bytes may lie between the last page and it.
    """
    due: dict[int, int] = {}  # number of a stream's next page
    is_last = False
    while begin < end:
        page = content[begin : begin + page_length(content, begin)]
        if page[:4] != b"OggS":
            return is_last  # such as a tag behind the sound
        if len(page) < HEADER or begin + len(page) > end or len(page) < page_length(page, 0):
            return False
        flags = page[5]
        stream, number, stated = struct.unpack_from("<III", page, 14)
        due[stream] = number if flags & _FIRST else due.get(stream, -1)
        if due[stream] != number or _checksum(page) != stated:
            return False
        due[stream] += 1
        is_last = bool(flags & _LAST)
        begin += len(page)
    return is_last


def page_length(content: mmap | bytes, begin: int) -> int:
    """Bytes of a page by its table of segments; of a header alone where that is cut off."""
    table = begin + HEADER
    if len(content) < table:
        return HEADER
    packets = table + content[table - 1]
    return packets - begin + sum(content[table:packets])


def _checksum(page: bytes) -> int:
    """The page's CRC, with 0 in its own place: zlib's polynomial, with all bits in other order.

    Begun with 0 and not inverted at the end, unlike zlib's.
    """
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    mirrored = crc32(blank.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
