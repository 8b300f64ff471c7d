"""Pictures as files that are whole or not there; OpenCV would only say that it failed."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ..files import whole_file


def write_picture(path: Path, image: NDArray[np.uint8], options: Sequence[int] = ()) -> None:
    """Write (H, W) or (H, W, 3 or 4) BGR(A) in the format of the suffix.

    Args:
        path: The file.
        image: What to write.
        options: OpenCV's, such as ``[cv2.IMWRITE_JPEG_QUALITY, 92]``.

    Raises:
        OSError: It can't be written; the message says why and names the file.
    """
    content = cv2.imencode(path.suffix, image, [*options])[1]
    with whole_file(path) as part:
        part.write_bytes(content.tobytes())
