"""The steps of a pipeline, told by name where one can't work on what the ones before it leave."""

import logging
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mmcv.transforms import RandomChoiceResize, RandomResize, Resize
from mmengine.logging import print_log
from mmseg.datasets.transforms import PackSegInputs

from ..errors import PICTURE_ALONE, UserError

_RESIZING = (Resize, RandomResize, RandomChoiceResize)
#: Key of a sample -> a step that makes it.
_MADE_BY = {
    "img": "LoadAVSFrame",
    "gt_seg_map": "LoadAVSMask",
    "waveform": "LoadAudioWindow",
    "visible_map": "ComposeScene",
}


def run_steps(steps: Sequence[Callable], results: dict[str, Any]) -> dict[str, Any]:
    """What mmengine's ``Compose`` does, with an error that names the step.

    Args:
        steps: Built transforms, in their order.
        results: An entry of the index.

    Returns:
        What the last step makes.

    Raises:
        UserError: A step raised what a library does, or gave nothing. Errors of the project's own
            and of files are left as they are; the traceback is in the log of a run with
            ``log_level='DEBUG'``.
    """
    for place, step in enumerate(steps):
        there = set(results)
        try:
            if isinstance(step, _RESIZING):
                results["img"]  # without which these do nothing, and say so to nobody
            made = step(results)
        except (UserError, OSError, MemoryError):
            raise
        except Exception as error:  # whatever a library raises
            print_log("".join(traceback.format_exception(error)), "current", logging.DEBUG)
            told = _too_early(steps, place) or _problem(error, there)
            raise UserError(f"{_named(steps, place)} {told}") from error
        if made is None:
            raise UserError(f"{_named(steps, place)} gives nothing; it must return the sample")
        results = made
    return results


def check_packed(item: dict[str, Any], steps: Sequence[Callable]) -> None:
    """Refuse what a pipeline makes where no model can take it.

    Args:
        item: Of ``run_steps``.
        steps: As there.

    Raises:
        UserError: With the step that is missing.
    """
    if not {"inputs", "data_samples"} <= set(item):
        raise UserError(f"pipeline {_names(steps)}: it packs no sample; end it in PackAVSInputs")
    if not isinstance(item["inputs"], dict):
        raise UserError(f"pipeline {_names(steps)}: {PICTURE_ALONE}")
    sample = item["data_samples"]
    if sample.get("seg_map_path") is not None and "gt_sem_seg" not in sample:
        raise UserError(
            f"pipeline {_names(steps)}: it loads no mask; put LoadAVSMask behind LoadAVSFrame"
        )


def _named(steps: Sequence[Callable], place: int) -> str:
    return f"pipeline {_names(steps)}: {type(steps[place]).__name__} (step {place + 1})"


def _names(steps: Sequence[Callable]) -> str:
    return " > ".join(type(step).__name__ for step in steps) or "of no step"


def _too_early(steps: Sequence[Callable], place: int) -> str:
    """What to do where a sample was packed before its last step; else empty."""
    packing = [one for one in steps[: place + 1] if isinstance(one, PackSegInputs)]
    if not packing or place == len(steps) - 1 and packing == [steps[-1]]:
        return ""
    return f"can't do its work: {type(packing[0]).__name__} must be the last step"


def _problem(error: Exception, there: set[str]) -> str:
    """What a step lacks, or what it said."""
    key = error.args[0] if isinstance(error, KeyError) and error.args else None
    if isinstance(key, str) and key not in there:
        maker = f" ({_MADE_BY[key]} or its like)" if key in _MADE_BY else ""
        return (
            f"needs {key!r}, which nothing before it leaves; put it behind the step that makes "
            f"it{maker}, or leave it out"
        )
    if str(error) == PICTURE_ALONE:
        return f"can't go on: {PICTURE_ALONE}"
    told = " ".join(str(error).split()) or type(error).__name__
    last = traceback.extract_tb(error.__traceback__)[-1]
    return (
        f"can't work on this sample: {told} ({type(error).__name__} in "
        f"{Path(last.filename).name}, line {last.lineno}); look at its settings and its place"
    )
