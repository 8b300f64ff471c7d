"""Video frames as they are shown: upright, unmirrored, of square pixels, in their true colours."""

from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter
from numpy.typing import NDArray

_UNSPECIFIED = 2  # as ITU-T H.273 numbers them, and FFmpeg
_HD = 720  # lines from which players take a video that does not say so for one of BT.709
_MOST_STRETCHED = 8  # a pixel's longer side by its shorter one; beyond, the header is broken


def matrix_of(height: int) -> Colorspace:
    """Between YUV and RGB, of a video of that many lines that says nothing of it."""
    return Colorspace.ITU709 if height >= _HD else Colorspace.ITU601


def upright(
    picture: av.VideoFrame,
    pixel_aspect: Fraction | None = None,
    reformatter: VideoReformatter | None = None,
) -> NDArray[np.uint8]:
    """Turn and mirror a decoded picture as its file says, and make its pixels square.

    Args:
        picture: As decoded.
        pixel_aspect: Width of a pixel by its height; None is square. The shorter side grows.
        reformatter: One for all pictures of a video saves making its tables and threads for each.

    Returns:
        (H, W, 3) BGR.
    """
    width, height = square_size(picture, pixel_aspect)
    unknown = picture.colorspace == _UNSPECIFIED
    converted = (reformatter or VideoReformatter()).reformat(
        picture,
        width=width,
        height=height,
        format="bgr24",
        src_colorspace=matrix_of(picture.height) if unknown else None,
    )
    image = converted.to_ndarray().astype(np.uint8, copy=False)
    return np.ascontiguousarray(_turned(image, picture))


def square_size(picture: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of a decoded picture with square pixels, before it is turned."""
    width, height = picture.width, picture.height
    if not aspect or not 1 / _MOST_STRETCHED <= aspect <= _MOST_STRETCHED:
        return width, height
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


def _turned(image: NDArray[np.uint8], picture: av.VideoFrame) -> NDArray[np.uint8]:
    """By the display matrix: x to a x + c y, y to b x + d y, nearest of the eight that fit."""
    matrix = picture.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return image
    a, b, _, c, d = np.frombuffer(cast(bytes, matrix), np.int32)[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, across, down = image.transpose(1, 0, 2), c, b
    else:
        across, down = a, d
    return image[:: -1 if down < 0 else 1, :: -1 if across < 0 else 1]
