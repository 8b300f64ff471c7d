"""Checkpoints are read as data: nothing in a file that a user names can run code.

mmengine falls back to full unpickling after a mere warning, and reads downloads without a check.
``make_checkpoints_safe`` puts this module's readers in their place, so that ``Runner``,
``init_cfg`` and everything else that reads a checkpoint through mmengine refuses such a file.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from difflib import get_close_matches
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO
from urllib.parse import urlparse

import torch
from mmengine.runner import checkpoint as mmengine_checkpoint
from torch import Tensor, nn

from .checkpoint_format import TextError, allowed_globals, check_archive, refuse_text, settle
from .errors import UserError, looked_for
from .safetensors_format import SUFFIX, read_safetensors

#: What the names of weights begin with that training alone needs.
TRAINING_PREFIX = "criterion."
_GET_AGAIN = "Get the file again, or take the checkpoint before it."
_WITHOUT = "train without it by --cfg-options model.backbone.init_cfg=None (or its like)"
_EXPECTED = "A checkpoint is a dict with 'state_dict', or a state_dict."


_last_read: ContextVar[object] = ContextVar("last_read", default="the checkpoint")
#: The file that was read last: mmengine hands its weights on without it.
last_read = _last_read.get


class CheckpointError(UserError):
    """A file that should be a checkpoint is not, is damaged, or wants to run code."""


@contextmanager
def _errors_name(source: object) -> Iterator[None]:
    """Turn what a file makes torch raise into errors that name the file and the remedy."""
    try:
        yield
    except (CheckpointError, torch.OutOfMemoryError):
        raise
    except TextError as error:
        raise CheckpointError(f"{source}: {error}") from error
    except UnpicklingError as error:
        raise CheckpointError(
            f"{source}: it is no checkpoint of weights, or would run code when read, so it was "
            f"not read ({_first_sentence(error)}). If its origin is trusted, let that side save "
            "the bare state_dict again."
        ) from error
    except Exception as error:  # anything can come of bytes that mean nothing
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


def _read(file: BinaryIO, source: object, map_location: Any) -> dict[str, Any]:
    """The contents of a checkpoint that torch wrote."""
    with _errors_name(source):
        refuse_text(file)
        check_archive(file)
        with torch.serialization.safe_globals(allowed_globals()):
            content = settle(torch.load(file, map_location=map_location, weights_only=True))
    return _checked(content, source)


def _checked(content: Any, source: object) -> dict[str, Any]:
    """What was read, if it is a checkpoint."""
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{source}: it holds a {type(content).__name__}, not a checkpoint. {_EXPECTED}"
        )
    for name in ("state_dict", "meta"):
        if not isinstance(content.get(name) or {}, dict):
            kind = type(content[name]).__name__
            raise CheckpointError(f"{source}: its {name} is a {kind}, not a dict. {_EXPECTED}")
    for key in (*content, *(content.get("state_dict") or ())):
        if not isinstance(key, str):
            raise CheckpointError(
                f"{source}: it has the key {key!r}, which is no name of a weight. {_EXPECTED}"
            )
    # The config is Python, which ``Runner.resume`` would run for nothing of use.
    (content.get("meta") or {}).pop("config", None)
    return content


def load_safely(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint file as data only.

    Args:
        path: A file written by ``torch.save``, or ``*.safetensors``, which is read to the CPU.
        map_location: As in ``torch.load``.

    Returns:
        dict: The checkpoint, or a bare state_dict.
    """
    file = Path(path).expanduser()
    if file.is_dir():
        raise CheckpointError(f"{file}: this is a folder. Name a checkpoint file (*.pth) in it.")
    if not file.is_file():
        there = sorted(other.name for other in file.parent.glob("*.pth"))
        near = get_close_matches(file.name, there, cutoff=0.3) or there[:3]
        others = f"; there are {', '.join(near)}" if near else ""
        raise FileNotFoundError(
            f"{file}: no such checkpoint{looked_for(file)}{others}. If it is a pretrained "
            "backbone, get it with tools/prepare_weights.py or from where its config says, or "
            f"{_WITHOUT}."
        )
    _last_read.set(file)
    if map_location is None and not torch.cuda.is_available():
        map_location = "cpu"
    with file.open("rb") as opened:
        if file.suffix != SUFFIX:
            return _read(opened, file, map_location)
        with _errors_name(file):
            refuse_text(opened)
            return _checked(read_safetensors(file), file)


def _load_for_mmengine(file: Any, map_location: Any = None, weights_only: bool = True) -> Any:
    """Take the place of mmengine's reader of files, whose fallback runs what the file says."""
    if not weights_only:
        raise CheckpointError(f"{file}: checkpoints are only read with weights_only=True.")
    if isinstance(file, (str, Path)):
        return load_safely(file, map_location)
    return _read(file, "downloaded checkpoint", map_location)


def _load_url_for_mmengine(
    url: str, model_dir: str | None = None, map_location: Any = None, progress: bool = True
) -> Any:
    """Take the place of torch.hub's loader, which unpacks and unpickles whatever it downloaded."""
    folder = Path(model_dir or Path(torch.hub.get_dir(), "checkpoints"))
    file = folder / Path(urlparse(url).path).name
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), progress=progress)
        except OSError as error:
            raise CheckpointError(
                f"{url}: it can't be downloaded ({error}). Fetch the file on another machine and "
                f"name it in init_cfg.checkpoint, or {_WITHOUT}."
            ) from error
    return load_safely(file, map_location)


def make_checkpoints_safe() -> None:
    """Give mmengine the readers of this module; every scheme of paths and addresses uses them."""
    replacements: dict[str, Callable[..., Any]] = {"load_url": _load_url_for_mmengine}
    # Upstream's mmengine calls torch.load, which reads data alone unless it is told otherwise.
    if "weights_only" in inspect.getsource(mmengine_checkpoint):
        replacements["_safe_torch_load"] = _load_for_mmengine
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


def weights_of(content: dict[str, Any], source: object) -> dict[str, Tensor]:
    """The weights by their names, without the prefix of a model that was wrapped for several GPUs.

    Args:
        content: A checkpoint, or a bare state_dict.
        source: Where it came from, for the message.

    Raises:
        CheckpointError: It holds something else than weights.
    """
    weights = content.get("state_dict", content)
    for key, value in weights.items():
        if (kind := odd_kind(value)) is not None:
            raise CheckpointError(
                f"{source}: its {key!r} is a {kind}, not a weight. Give a checkpoint of "
                "tools/train.py, or a bare state_dict."
            )
    return {key.removeprefix("module."): value for key, value in weights.items()}


def inference_weights_of(content: dict[str, Any], source: object) -> dict[str, Tensor]:
    """As ``weights_of``, without the training part."""
    weights = weights_of(content, source)
    return {key: value for key, value in weights.items() if not key.startswith(TRAINING_PREFIX)}


def odd_kind(value: object) -> str | None:
    """What a value is that is no tensor with a number for each of its places."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    if value.layout is not torch.strided or value.is_nested or value.is_quantized:
        return "sparse, nested or quantised tensor"
    stored = 0 if value.is_meta else value.untyped_storage().nbytes()
    if value.numel() * value.element_size() > stored:
        return f"tensor of {value.numel()} numbers with {stored} bytes in the file"
    return None


def class_names_of(content: dict[str, Any], source: object) -> tuple[str, ...]:
    """Names of the classes that a checkpoint carries; none where it has none."""
    known = (content.get("meta") or {}).get("dataset_meta") or {}
    names = known.get("classes") or () if isinstance(known, dict) else known
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"{source}: its class names (meta.dataset_meta.classes) are a {type(names).__name__}, "
            "not a list of strings"
        )
    return tuple(names)


def check_number_of_classes(names: Sequence[str], model: Any, source: object) -> None:
    """Refuse a checkpoint whose class names, if it has any, are not as many as the head's.

    Args:
        names: As ``class_names_of`` gives them.
        model: The segmentor, or its config.
        source: Where the checkpoint came from, for the message.
    """
    expected = getattr(getattr(model, "decode_head", None), "num_classes", None)
    if names and expected is not None and len(names) != expected:
        raise CheckpointError(
            f"{source}: it knows {len(names)} classes, the config has {expected}. Give the config "
            "that it was trained with"
        )


def check_fit(model: nn.Module, weights: dict[str, Tensor], path: str | Path) -> None:
    """Refuse weights that mmengine would load in part, with no more than a warning, and no numbers.

    Args:
        model: Which is to take them.
        weights: As ``weights_of`` gives them.
        path: Where the checkpoint came from.
    """
    wanted = model.state_dict()
    # BatchNorm's counter is not used at test, and converted weights lack it.
    problems = [
        f"{key} is missing"
        for key in wanted
        if key not in weights and not key.endswith("num_batches_tracked")
    ]
    problems += [f"{key} is not in the model" for key in weights if key not in wanted]
    problems += [
        f"{key} is {tuple(weights[key].shape)}, the model has {tuple(wanted[key].shape)}"
        for key in wanted
        if key in weights and weights[key].shape != wanted[key].shape
    ]
    if problems:
        raise CheckpointError(
            f"{path}: it does not fit the config: {_some(problems)}. Give the config that it was "
            "trained with; another number of classes alone changes shapes."
        )
    # A mask of -inf that the model has by itself is no fault.
    check_finite({key: weights[key] for key in weights if _is_finite(wanted[key])}, path)


def check_finite(weights: dict[str, Tensor], path: str | Path) -> None:
    """Refuse weights that are NaN or infinite, from which nothing but NaN would come."""
    broken = [key for key, value in weights.items() if not _is_finite(value)]
    if broken:
        raise CheckpointError(
            f"{path}: NaN or infinite: {_some(broken)}. Its training went wrong before it was "
            "saved; take an earlier checkpoint."
        )


def _is_finite(value: Tensor) -> bool:
    if value.element_size() < 4:  # some half and quarter types have no test of their own
        value = value.float()
    return bool(value.isfinite().all())


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{'; '.join(names[:3])}{more}"
