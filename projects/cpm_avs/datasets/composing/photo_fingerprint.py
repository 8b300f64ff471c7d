"""Near-duplicates among photographs: re-encoded, resized, recoloured a little, or mirrored.

The fingerprint is the difference hash of 256 bits: the picture shrunk to 17 x 16 px, and of each
pixel whether its right neighbour is brighter. Crops by more than some percent are not found.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...errors import BadSampleError

_ROWS = 16
#: Bits in which two photographs may differ and still be one. On 1,200 photographs all pairs up to
#: here were the same photograph; those of different ones begin at 35, half of them lie over 128.
MAX_DISTANCE = 26
_BLOCK = 1024  # rows of the matrix of distances that are there at a time


def photo_fingerprint(path: str | Path) -> NDArray[np.uint64]:
    """Hashes of a picture and of its mirror image, (2, 4): 256 bits each.

    Raises:
        BadSampleError: It can't be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise BadSampleError(path, "the picture can't be read", "Restore or remove it")
    grey = _grey(np.asarray(image))
    return np.stack([_difference_hash(grey), _difference_hash(grey[:, ::-1])])


def near_photos(fingerprints: Sequence[NDArray[np.uint64]]) -> Iterator[tuple[int, int]]:
    """Pairs (i, j), i < j, of one photograph."""
    if not fingerprints:
        return
    hashes = np.stack(fingerprints)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK, 0]
        distance = np.minimum(*(_distances(block, hashes[start:, side]) for side in (0, 1)))
        for row, column in np.argwhere(distance <= MAX_DISTANCE):
            if row < column:
                yield start + int(row), start + int(column)


def _distances(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.int16]:
    """Bits that differ, (S, O), of hashes (S, 4) and (O, 4)."""
    total = np.zeros((len(some), len(others)), np.int16)
    for word in range(some.shape[1]):
        total += np.bitwise_count(some[:, word, None] ^ others[None, :, word])
    return total


def _difference_hash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    size = (_ROWS + 1, _ROWS)
    small = cv2.resize(np.ascontiguousarray(grey), size, interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)


def _grey(image: NDArray) -> NDArray[np.uint8]:
    """(H, W) uint8; a cut-out lies on grey."""
    if image.ndim == 2:
        return np.asarray(image, np.uint8)
    if image.shape[2] == 4:
        opacity = image[..., 3:] / 255
        image = np.rint(image[..., :3] * opacity + 128 * (1 - opacity)).astype(np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)
