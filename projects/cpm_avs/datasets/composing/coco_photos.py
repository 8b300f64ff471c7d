"""Photographs out of a set in COCO's format of instances: polygons or run lengths a mask."""

from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as run_lengths

from ...errors import BadSampleError
from ..names import fault_of_name
from .candidate import NOT_STATED, Candidate, ClassNames, LeftOut, Unusable
from .coco_file import REMEDY, read_coco_file

#: Numbers of instances go into 8 bits; 0 is none.
_MOST_INSTANCES = 255


def read_coco(
    annotations: Path, images: Path, split: str, class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """All photographs with masks of a wanted class, once a class; and those left out.

    Args:
        annotations: JSON with ``images``, ``annotations`` and ``categories``.
        images: Folder that its ``file_name``s are named from.
        split: Split of all of them; empty: to be drawn.
        class_of: Classes of the categories' names.

    Raises:
        BadSampleError: The JSON is something else, or none of its images is there.
    """
    content = read_coco_file(annotations)
    source = annotations.stem
    classes = {number: class_of(entry["name"]) for number, entry in content.categories.items()}
    # By name: lists that were put together may have a photograph under two numbers.
    shown: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    entries: dict[str, dict[str, Any]] = {}
    for one in content.annotations:
        if (name := classes[one["category_id"]]) is not None:
            entry = content.images[one["image_id"]]
            shown[entry["file_name"], name].append(one)
            entries.setdefault(entry["file_name"], entry)
    if shown and not any(one.get("segmentation") for all_ in shown.values() for one in all_):
        raise BadSampleError(annotations, "it has boxes, but no masks", REMEDY)
    faults = {file: fault for file in entries if (fault := fault_of_name(file))}
    paths = {file: images / file for file in entries if file not in faults}
    if paths and not any(path.is_file() for path in paths.values()):
        raise BadSampleError(
            next(iter(paths.values())),
            f"is missing, as are all other images of {annotations}",
            "Name the folder that holds them after the JSON, such as val2017",
        )
    found, left_out = [], []
    for (file, name), objects in shown.items():
        if file in faults:
            left_out.append(LeftOut(annotations, name, "outside", faults[file]))
            continue
        if any(one.get("iscrowd") for one in objects):
            left_out.append(LeftOut(paths[file], name, "crowd"))
            continue
        entry = entries[file]
        masks = [one.get("segmentation") for one in objects]
        candidate = Candidate(
            kind="photo",
            class_name=name,
            path=paths[file],
            source=source,
            name=file,
            origin=f"{source}/{file}",
            licence=_licence(content.licence_of(entry)),
            split=split,
            made_from=(annotations,),
            instances=partial(_drawn, (entry.get("height"), entry.get("width")), masks),
        )
        found.append(candidate)
    return found, left_out


def _drawn(
    stated: tuple[Any, Any], segmentations: list[Any], height: int, width: int
) -> NDArray[np.uint8]:
    """The instances, if the photograph is as large as the file says."""
    if all(isinstance(one, int) and one > 0 for one in stated) and stated != (height, width):
        raise Unusable(
            "wrong_size",
            f"{stated[1]} x {stated[0]} px by the JSON, and the image, turned as it is meant, has "
            f"{width} x {height}",
        )
    return draw_instances(segmentations, height, width)


def draw_instances(segmentations: list[Any], height: int, width: int) -> NDArray[np.uint8]:
    """Number the instances of a photograph from 1, small ones over large ones.

    Args:
        segmentations: Of each instance its polygons, [[x, y, x, y, ...], ...] in px, or its run
            lengths, {"size": [height, width], "counts": ...}.
        height: Of the photograph, px.
        width: Of the photograph, px.

    Raises:
        Unusable: One of them is neither, belongs to another size, or there are too many.
    """
    if len(segmentations) > _MOST_INSTANCES:
        raise Unusable("bad_mask", f"{len(segmentations)} objects, {_MOST_INSTANCES} at most")
    masks = [_decode(one, height, width) for one in segmentations]
    numbered = np.zeros((height, width), np.uint8)
    by_size = sorted(enumerate(masks, start=1), key=lambda one: -np.count_nonzero(one[1]))
    for number, mask in by_size:
        numbered[mask > 0] = number
    return numbered


def _decode(segmentation: Any, height: int, width: int) -> NDArray[np.uint8]:
    """One instance's mask, (height, width) of 0 and 1."""
    if segmentation is None:
        raise Unusable("bad_mask", "an object without a mask")
    try:
        if isinstance(segmentation, dict):
            if list(segmentation["size"]) != [height, width]:
                detail = f"run lengths of {segmentation['size']}, the image has {[height, width]}"
                raise Unusable("wrong_size", detail)
            runs = segmentation
            if not isinstance(runs["counts"], str | bytes):
                # The library leaves pixels that no run reaches as they happen to be.
                if sum(runs["counts"]) != height * width:
                    raise Unusable("bad_mask", "run lengths that don't fill the image")
                runs = run_lengths.frPyObjects(runs, height, width)
        else:
            # The library takes four numbers for a box, and reserves memory by the extent.
            limits = np.array([width, height], np.float64)
            points = [np.asarray(one, np.float64).reshape(-1, 2) for one in segmentation]
            whole = [one for one in points if len(one) >= 3 and np.isfinite(one).all()]
            polygons = [one.clip(0, limits).ravel().tolist() for one in whole]
            if not polygons:
                raise Unusable("bad_mask", "an object without a polygon of three points")
            runs = run_lengths.merge(run_lengths.frPyObjects(polygons, height, width))
        return np.asarray(run_lengths.decode(runs), np.uint8)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        raise Unusable("bad_mask", f"no polygons and no run lengths ({error})") from error


def _licence(entry: dict[str, Any]) -> str:
    parts = [str(entry[key]).strip() for key in ("name", "url") if entry.get(key)]
    return f"{parts[0]} ({parts[1]})" if len(parts) == 2 else (parts or [NOT_STATED])[0]
