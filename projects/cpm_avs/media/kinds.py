"""What a file is: asked of those who decode it, since suffixes are many, missing or wrong."""

import mimetypes
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image

from ..errors import BadSampleError
from .opening import check_file, default_track, open_media, too_large

Kind = Literal["picture", "sound", "video"]

# What file managers leave behind; a Mac's `._clip.mp4` and other hidden files begin with a dot.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
_RASTER = (
    "JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "PPM", "TGA", "ICO", "JPEG2000",
    "QOI", "SGI", "PCX",
)  # fmt: skip
Image.init()
#: Pillow's formats of pictures, as far as this Pillow has them; others run programs (EPS).
PICTURES = tuple(name for name in _RASTER if name in Image.OPEN)
# Of these those whose animations FFmpeg plays, and those whose further pictures are
# pages or a phone's other views.
_ANIMATED, _STACKED = {"GIF", "PNG"}, {"TIFF", "MPO"}


def visible(paths: Iterable[Path]) -> list[Path]:
    """Without hidden files and those of file managers."""
    return [one for one in paths if one.name[0] != "." and one.name.lower() not in _LITTER]


@contextmanager
def _header_of(path: str | Path) -> Iterator[Image.Image]:
    """A picture of which nothing is decoded yet; a warning of its size would tell no remedy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        image = Image.open(path, formats=PICTURES)
    with image:
        yield image


def check_picture_size(path: str | Path, most_pixels: int) -> None:
    """Refuse a picture that is too large by its header.

    Raises:
        BadSampleError: It has more than ``most_pixels``.
        OSError, ValueError, SyntaxError: It is no picture that Pillow knows.
    """
    try:
        with _header_of(path) as image:
            width, height = image.size
    except Image.DecompressionBombError as error:
        raise too_large(path, f"has more than {most_pixels} pixels", most_pixels) from error
    if width * height > most_pixels:
        reason = f"has {width} x {height} pixels, which is too large"
        raise too_large(path, reason, most_pixels)


def kind_of(path: Path) -> Kind:
    """Whether a file is a picture, a sound, or a video (with or without sound).

    Raises:
        BadSampleError: It is none of them, or can't be decoded.
    """
    check_file(path)
    try:
        with _header_of(path) as image:
            kind, moves = image.format, getattr(image, "is_animated", False)
    except Image.DecompressionBombError:  # whoever reads it says so
        return "picture"
    except (OSError, ValueError, SyntaxError):
        kind, moves = None, False
    if kind is not None and (not moves or kind in _STACKED):
        return "picture"
    if kind is not None and kind not in _ANIMATED:
        raise BadSampleError(
            path, f"is an animated {kind}, which can't be played", "Convert it to mp4 or gif"
        )
    try:
        container = open_media(path)
    except BadSampleError as error:
        if called(path) != "picture":
            raise
        raise BadSampleError(  # such as a phone's HEIC
            path, "is no picture that can be read", "Save it as jpg or png"
        ) from error
    with container:
        if default_track(container.streams.video) is not None:
            return "video"
        if default_track(container.streams.audio) is not None:
            return "sound"
    raise BadSampleError(
        path, "has neither picture nor sound that can be decoded", "Convert it to mp4 or wav"
    )


def called(path: Path) -> Kind | None:
    """What a file is by its name."""
    kind = mimetypes.guess_type(path.name)[0] or ""
    if kind.startswith("video/") or kind in ("audio/3gpp", "audio/3gpp2"):  # phones' videos
        return "video"
    if kind.startswith("audio/"):
        return "sound"
    return "picture" if kind.startswith("image/") else None
