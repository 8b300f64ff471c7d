"""What a report beside a folder of masks says of their values.

``demo --out-dir`` writes ``report.json`` beside ``masks/``, and ``make-clip --truth`` does.
"""

import json
from pathlib import Path

from ..errors import UserError

NAME = "report.json"


def classes_of(masks: Path) -> tuple[str, ...] | None:
    """Names by label, background first; None where no report beside the folder has them."""
    try:
        report = json.loads((masks.absolute().parent / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    names = report.get("classes") if isinstance(report, dict) else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(names) if 2 <= len(names) <= 255 else None


def check_same_classes(masks: Path, truth: Path) -> None:
    """Hold the reports of two folders of masks against one another, where both have one.

    Raises:
        UserError: A value is one class here and another there, so that scores would say nothing.
    """
    own, wanted = classes_of(masks), classes_of(truth)
    if own is None or wanted is None or own == wanted:
        return
    pairs = zip(own, wanted, strict=False)
    label = next((k for k, (one, other) in enumerate(pairs) if one != other), None)
    told = (
        f"{len(own)} classes, and the truth {len(wanted)}"
        if label is None
        else f"{own[label]} as class {label}, and the truth has {wanted[label]}"
    )
    raise UserError(
        f"{masks}: its {NAME} has {told}. Score masks of a model that has the truth's classes, or "
        "object against background with --classes binary"
    )
