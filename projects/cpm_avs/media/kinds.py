"""What a file is: asked of those who decode it, since suffixes are many, missing or wrong."""

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from PIL import Image

from ..structures import BadSampleError
from .opening import check_file, default_track, open_media

Kind = Literal["picture", "sound", "video"]

# What file managers leave behind; a Mac's `._clip.mp4` and other hidden files begin with a dot.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
_ANIMATED = {"GIF", "PNG"}  # of Pillow's formats those whose animations FFmpeg plays


def visible(paths: Iterable[Path]) -> list[Path]:
    """Without hidden files and those of file managers."""
    return [one for one in paths if one.name[0] != "." and one.name.lower() not in _LITTER]


def kind_of(path: Path) -> Kind:
    """Whether a file is a picture, a sound, or a video (with or without sound).

    Raises:
        BadSampleError: It is none of them, or can't be decoded.
    """
    check_file(path)
    try:
        with Image.open(path) as image:  # reads the header only
            moves = image.format in _ANIMATED and getattr(image, "n_frames", 1) > 1
            return "video" if moves else "picture"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # no picture
        pass
    with open_media(path) as container:
        if default_track(container.streams.video) is not None:
            return "video"
        if default_track(container.streams.audio) is not None:
            return "sound"
    raise BadSampleError(
        path, "has neither picture nor sound that can be decoded", "Convert it to mp4 or wav"
    )
