"""Checkpoints are read as data: nothing in a file that a user names can run code.

mmengine falls back to full unpickling after a mere warning, and reads downloads without a check.
``make_checkpoints_safe`` puts this module's readers in their place, so that ``Runner``,
``init_cfg`` and everything else that reads a checkpoint through mmengine refuses such a file.
"""

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as mmengine_checkpoint

from .structures import UserError

_GET_AGAIN = "Get the file again, or delete it and resume from the checkpoint before."
_WITHOUT = "train without it by --cfg-options model.backbone.init_cfg=None (or its like)"
_SCALAR_TYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64"


class CheckpointError(UserError):
    """A file that should be a checkpoint is not, is damaged, or wants to run code."""


def _history_statistic(owner: object, name: str) -> Callable[..., Any]:
    """Stand where the pickle of a ``HistoryBuffer`` calls ``getattr`` for its four statistics.

    The real ``getattr`` would hand a forged file any attribute of the classes below.
    """
    if owner is not HistoryBuffer or name not in ("min", "max", "current", "mean"):
        raise UnpicklingError(f"it asks for the attribute {name!r} of {owner!r}")
    return getattr(HistoryBuffer, name)


def _data_types() -> list[Any]:
    """What mmengine saves beside tensors: scalars' history, numpy arrays and numbers."""
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    return [
        HistoryBuffer,
        (_history_statistic, "builtins.getattr"),
        np.ndarray,
        np.dtype,
        *{type(np.dtype(name)) for name in _SCALAR_TYPES.split()},
        # Both homes of these two, since numpy 2 moved them and older files name the first.
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        (scalar, "numpy.core.multiarray.scalar"),
        (scalar, "numpy._core.multiarray.scalar"),
    ]


@contextmanager
def _errors_name(source: object) -> Iterator[None]:
    """Allow the data types, and turn torch's errors into ones that name the file and the remedy."""
    try:
        with torch.serialization.safe_globals(_data_types()):
            yield
    except UnpicklingError as error:
        raise CheckpointError(
            f"{source}: it is no checkpoint of weights, or would run code when read, so it was "
            f"not read ({_first_sentence(error)}). If its origin is trusted, let that side save "
            "the bare state_dict again."
        ) from error
    except torch.OutOfMemoryError:
        raise
    except (EOFError, RuntimeError, ValueError, LookupError, TypeError, struct.error) as error:
        raise CheckpointError(
            f"{source}: the checkpoint is empty, truncated or damaged "
            f"({_first_sentence(error)}). {_GET_AGAIN}"
        ) from error


def _first_sentence(error: Exception) -> str:
    """Torch explains at length; its first sentence carries what is wrong."""
    text = str(error).partition("WeightsUnpickler error: ")[2].strip() or str(error)
    unsupported = text.partition("GLOBAL ")[2]
    if unsupported:
        return f"it names {unsupported.split()[0]}"
    return text.partition("\n")[0].partition(". ")[0] or type(error).__name__


def _without_source(content: Any) -> Any:
    """Take out the config, which is Python: ``Runner.resume`` would run it for nothing of use."""
    meta = content.get("meta") if isinstance(content, dict) else None
    if isinstance(meta, dict):
        meta.pop("config", None)
    return content


def load_safely(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint file as data only.

    Args:
        path: A file written by ``torch.save``.
        map_location: As in ``torch.load``.

    Returns:
        dict: The checkpoint, or a bare state_dict.
    """
    if str(path) == "":  # what mmengine finds there
        raise CheckpointError(
            "last_checkpoint in the work folder is empty: a run ended while it was written. Name "
            "the newest checkpoint there by --cfg-options load_from=FILE beside --resume."
        )
    file = Path(path).expanduser()
    if file.is_dir():
        raise CheckpointError(f"{file}: this is a folder. Name a checkpoint file (*.pth) in it.")
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: no such checkpoint. If it is a pretrained backbone, get it with "
            f"tools/prepare_weights.py or from where its config says, or {_WITHOUT}."
        )
    if map_location is None and not torch.cuda.is_available():
        map_location = "cpu"
    try:
        with _errors_name(file):
            content = torch.load(file, map_location=map_location, weights_only=True)
    except OSError as error:
        if error.filename is not None:  # such as a lack of permission, well said already
            raise
        raise CheckpointError(f"{file}: the checkpoint is truncated. {_GET_AGAIN}") from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{file}: it holds a {type(content).__name__}, not a checkpoint. A checkpoint is a "
            "dict with 'state_dict', or a state_dict."
        )
    return _without_source(content)


def _load_for_mmengine(file: Any, map_location: Any = None, weights_only: bool = True) -> Any:
    """Take the place of mmengine's reader of files, whose fallback runs what the file says."""
    if not weights_only:
        raise CheckpointError(f"{file}: checkpoints are only read with weights_only=True.")
    if isinstance(file, (str, Path)):
        return load_safely(file, map_location)
    with _errors_name("downloaded checkpoint"):
        return _without_source(torch.load(file, map_location=map_location, weights_only=True))


def _load_url_for_mmengine(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> Any:
    """Take the place of torch.hub's loader, which unpickles whatever was downloaded."""
    try:
        with _errors_name(url):
            return _without_source(
                torch.hub.load_state_dict_from_url(
                    url, model_dir, map_location=map_location, progress=progress, weights_only=True
                )
            )
    except OSError as error:
        raise CheckpointError(
            f"{url}: it can't be downloaded ({error}). Fetch the file on another machine and name "
            f"it in init_cfg.checkpoint, or {_WITHOUT}."
        ) from error


def make_checkpoints_safe() -> None:
    """Give mmengine the readers of this module; every scheme of paths and addresses uses them."""
    replacements = {
        "_safe_torch_load": _load_for_mmengine,
        "load_url": _load_url_for_mmengine,
    }
    for name, reader in replacements.items():
        if not hasattr(mmengine_checkpoint, name):
            raise RuntimeError(
                f"mmengine.runner.checkpoint has no {name!r} in this release, so loading can't be "
                "made safe. Install the version in constraints.txt."
            )
        setattr(mmengine_checkpoint, name, reader)

    @mmengine_checkpoint.CheckpointLoader.register_scheme(prefixes="", force=True)
    def load_from_local(filename: str, map_location: Any) -> dict[str, Any]:
        return load_safely(filename, map_location)


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def check_fit(wanted: dict[str, Any], given: dict[str, Any], path: str | Path) -> None:
    """Refuse weights that mmengine would load in part, with no more than a warning.

    Args:
        wanted: state_dict of the model.
        given: state_dict of the checkpoint.
        path: Where the checkpoint came from.
    """
    # BatchNorm's counter is not used at test, and converted weights lack it.
    problems = [
        f"{key} is missing"
        for key in wanted
        if key not in given and not key.endswith("num_batches_tracked")
    ]
    problems += [f"{key} is not in the model" for key in given if key not in wanted]
    problems += [f"{key} is no tensor" for key, value in given.items() if not _is_tensor(value)]
    problems += [
        f"{key} is {tuple(given[key].shape)}, the model has {tuple(wanted[key].shape)}"
        for key in wanted
        if _is_tensor(given.get(key)) and given[key].shape != wanted[key].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(
            f"{path}: it does not fit the config: {'; '.join(problems[:3])}{more}. Give the "
            "config that it was trained with; another number of classes alone changes shapes."
        )
