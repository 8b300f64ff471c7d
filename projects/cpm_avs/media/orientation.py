"""Video frames as they are shown."""

import av
import numpy as np
from numpy.typing import NDArray


def upright(picture: av.VideoFrame) -> NDArray[np.uint8]:
    """(H, W, 3) BGR, turned as the phone that took it was held."""
    image = picture.to_ndarray(format="bgr24").astype(np.uint8, copy=False)
    turns = round(picture.rotation / 90) % 4  # counter-clockwise, as np.rot90 counts
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
