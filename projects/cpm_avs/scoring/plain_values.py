"""What the values of plain masks mean, where nobody says it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..constants import IGNORE_INDEX
from ..datasets.benchmarks.class_names import BINARY_CLASSES
from ..datasets.mask_decoding import values_in
from ..datasets.palette import voc_palette
from ..datasets.prepare.benchmarks import MaskRules
from ..datasets.threads import results_of
from ..errors import UserError
from .reading import MaskProblem, read_plain
from .threads import WORKERS


def guess_rules(paths: Sequence[Path]) -> tuple[MaskRules, tuple[str, ...]]:
    """Object and background where every mask holds 0 and 1, or 0 and 255; their names.

    0 and 1 beside 255 is taken as pixels to ignore.

    Raises:
        UserError: There are other values, of which the number of classes can't be told: it is what
            mIoU is divided by.
    """
    with results_of(_values, paths, workers=WORKERS, title="Values of the truth") as results:
        kinds = {frozenset(values - {0}) for values in results}
    found = frozenset().union(*kinds)
    if others := sorted(found - {1, IGNORE_INDEX}):
        raise UserError(
            f"the masks of the truth hold {', '.join(map(str, others[:5]))}"
            f"{' and more' if len(others) > 5 else ''}: say by --classes what they mean. 'binary': "
            "all but 0 is the object; 'avss', 'vpo', a number of classes or a file of their names: "
            "class indices"
        )
    both = frozenset({1, IGNORE_INDEX})
    if both in kinds and frozenset({IGNORE_INDEX}) in kinds:
        raise UserError(
            "some masks of the truth hold 0, 1 and 255, others 0 and 255: say by --classes whether "
            "255 is the object (binary) or not to be scored (2)"
        )
    count = len(BINARY_CLASSES)
    encoding = "index" if both in kinds else "binary"
    return MaskRules(encoding, count, voc_palette(count)), BINARY_CLASSES


def _values(path: Path) -> set[int]:
    try:
        values = read_plain(path)
    except MaskProblem as error:
        raise UserError(f"{path}: in the truth, {error}. Take it out of the folder") from error
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise UserError(
                f"{path}: a colour picture: say by --classes what the colours mean. 'binary': all "
                "but black is the object; 'avss', 'vpo', a number of classes or a file of their "
                "names: the colours of PASCAL VOC"
            )
        values = np.ascontiguousarray(values[..., 0])
    return set(values_in(values))
