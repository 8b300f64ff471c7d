"""The lists of a file in COCO's format of instances, with a sentence on what is wrong in them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadSampleError

REMEDY = "Name a file of instances, such as COCO's annotations/instances_val2017.json"
Entry = dict[str, Any]


@dataclass(frozen=True)
class CocoFile:
    """What a file says.

    Attributes:
        images: By their ids; each has a ``file_name``.
        categories: By their ids; each has a ``name``.
        licences: By their ids.
        annotations: Each has the ``image_id`` and the ``category_id`` of entries above.
    """

    images: dict[Any, Entry]
    categories: dict[Any, Entry]
    licences: dict[Any, Entry]
    annotations: list[Entry]

    def licence_of(self, image: Entry) -> Entry:
        """The licence that an image names; empty if it names none."""
        return _found(self.licences, image.get("license")) or {}


def read_coco_file(path: Path) -> CocoFile:
    """Read and check the lists.

    Raises:
        BadSampleError: It is another file, or an entry lacks what it needs; the message says which.
    """
    content = _load(path)
    images = _entries(path, content, "images", "file_name")
    categories = _entries(path, content, "categories", "name")
    for place, one in enumerate(content["annotations"]):
        for key, known in (("image_id", images), ("category_id", categories)):
            if not isinstance(one, dict) or key not in one:
                raise _no_instances(path, f"entry {place} of its annotations has no {key}")
            if _found(known, one[key]) is None:
                reason = f"entry {place} of its annotations has the {key} {one[key]!r}"
                raise _no_instances(path, f"{reason}, which its lists lack")
    licences = _entries(path, content, "licenses")
    return CocoFile(images, categories, licences, content["annotations"])


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadSampleError(path, "there is no such file", REMEDY)
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise BadSampleError(path, f"it is no JSON ({error})", REMEDY) from error
    needed = ("images", "annotations", "categories")
    lacking = [key for key in needed if not isinstance(content, dict) or key not in content]
    if lacking:
        raise _no_instances(path, f"it lacks {', '.join(lacking)}")
    if not isinstance(content["annotations"], list):
        raise _no_instances(path, "its annotations are no list")
    if any(isinstance(one, dict) and "segments_info" in one for one in content["annotations"][:1]):
        raise BadSampleError(path, "it is a file of COCO's panoptic segments", REMEDY)
    return content


def _entries(path: Path, content: Entry, key: str, *texts: str) -> dict[Any, Entry]:
    """Id -> entry of one of the lists, each of which has these texts."""
    if not isinstance(content.get(key) or [], list):
        raise _no_instances(path, f"its {key} are no list")
    entries: dict[Any, Entry] = {}
    for place, one in enumerate(content.get(key) or []):
        number = one.get("id") if isinstance(one, dict) else None
        if not isinstance(number, (int, str)):
            raise _no_instances(path, f"entry {place} of its {key} has no id")
        for text in texts:
            if not isinstance(one.get(text), str):
                raise _no_instances(path, f"entry {place} of its {key} has no {text}")
        if entries.setdefault(number, one) != one:
            raise _no_instances(path, f"two of its {key} have the id {number!r}")
    return entries


def _found(entries: dict[Any, Entry], number: Any) -> Entry | None:
    return entries.get(number) if isinstance(number, (int, str)) else None


def _no_instances(path: Path, reason: str) -> BadSampleError:
    return BadSampleError(path, f"it is no COCO file of instances: {reason}", REMEDY)
