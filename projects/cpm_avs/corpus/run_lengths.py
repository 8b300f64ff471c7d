"""Class maps into COCO's run lengths and back, as pycocotools reads them.

Shorthand: H W size of the frame, n objects.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def encode(class_map: NDArray[np.uint8], labels: Sequence[int]) -> list[dict[str, Any]]:
    """Run lengths of each label.

    Args:
        class_map: (H, W).
        labels: n of them.

    Returns:
        n of COCO's ``dict(size=[H, W], counts=text)``, which JSON takes, too.
    """
    if not labels:
        return []
    masks = np.empty((*class_map.shape, len(labels)), np.uint8, order="F")
    for index, label in enumerate(labels):
        masks[..., index] = class_map == label
    return [
        dict(size=list(one["size"]), counts=one["counts"].decode("ascii"))
        for one in coco.encode(masks)
    ]


def decode(segmentation: dict[str, Any]) -> NDArray[np.bool_]:
    """(H, W), True where the object is."""
    return coco.decode(segmentation).astype(bool)
