"""The two parts of a checkpoint that torch takes on trust: its zip archive, and foreign classes.

Torch's reader for weights alone unpacks whatever a member of the archive expands to, does not
compare checksums, and calls a class that is allowed with any arguments. So the archive is checked
here first, and the names that mmengine's checkpoints have beside tensors stand for small classes
that take what a pickle of the real thing holds, and nothing else.
"""

import os
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, BinaryIO

import numpy as np
from mmengine.logging import HistoryBuffer

_DTYPES = ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
#: Containers in containers; mmengine's checkpoints have 6.
_DEEPEST = 50
#: Bytes by which a text is told from a checkpoint, of which none begins with so many letters.
_HEAD = 24


class TextError(ValueError):
    """A text came in place of a checkpoint."""


def refuse_text(file: BinaryIO) -> None:
    """Refuse what a download gives in place of a file: a web page, or the note of Git LFS.

    Args:
        file: Read from its start, and left there.

    Raises:
        TextError: With its beginning, and what to do.
    """
    head = file.read(_HEAD)
    file.seek(0)
    if len(head) == _HEAD and head.isascii() and min(head) >= ord("\t"):
        raise TextError(
            f"it is a text that begins with {head.decode()!r}, not a checkpoint. Download the file "
            "itself; of a repository, by `git lfs pull`."
        )


def check_archive(file: BinaryIO) -> bool:
    """Refuse an archive that would grow in memory or whose bytes have changed since it was written.

    Args:
        file: Read from its start, and left there.

    Returns:
        Whether it is one; files of torch before 1.6 are none, and carry no checksums.

    Raises:
        ValueError, zipfile.BadZipFile: It is damaged, or nothing that ``torch.save`` writes.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    found = file.read(4) == b"PK\x03\x04"
    if found:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            packed = [one.filename for one in members if one.compress_type != zipfile.ZIP_STORED]
            if packed:
                raise ValueError(f"{packed[0]} in it is compressed, which torch never does")
            if sum(one.file_size for one in members) > size:
                raise ValueError("its parts claim to be larger than the file")
            if (changed := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {changed} in it is not that of its bytes")
    file.seek(0)
    return found


def find_damage(path: Path) -> str:
    """What is wrong with the archive of a checkpoint; empty where it is whole."""
    try:
        with path.open("rb") as file:
            if not check_archive(file):
                return "it is no archive of torch"
    except Exception as error:  # anything can come of bytes that mean nothing
        return str(error)
    return ""


class _DType:
    """Stands for ``numpy.dtype``: one of numbers or truth values."""

    def __init__(self, name: str, align: bool = False, copy: bool = False) -> None:
        if name not in _DTYPES:
            raise UnpicklingError(f"it has an array of {name!r}")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise UnpicklingError(f"it has an array of byte order {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])

    def read(self, data: bytes) -> np.ndarray:
        """Numbers (N,) in the machine's own byte order."""
        if not isinstance(data, bytes):
            raise UnpicklingError(f"it has an array made of {type(data).__name__}")
        return np.frombuffer(bytearray(data), self.dtype).astype(self.dtype.newbyteorder("="))


class _Array:
    """Stands for ``numpy.ndarray``, which would read any memory that it is told to."""

    value: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, by_columns, data = state
        if not isinstance(dtype, _DType):
            raise UnpicklingError("it has an array without a type")
        self.value = dtype.read(data).reshape(shape, order="F" if by_columns else "C")


class _History:
    """Stands for mmengine's ``HistoryBuffer``."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.values, self.counts = state["_log_history"], state["_count_history"]
        self.max_length = state["max_length"]

    def buffer(self) -> HistoryBuffer:
        """The real one."""
        columns = [getattr(column, "value", None) for column in (self.values, self.counts)]
        if any(column is None or column.ndim != 1 for column in columns):
            raise UnpicklingError("it has a history that is no list of numbers")
        return HistoryBuffer(*columns, max_length=self.max_length)


def _reconstruct(kind: object, shape: object, code: object) -> _Array:
    if kind is not _Array:
        raise UnpicklingError("it has an array of a class of its own")
    return _Array()


def _scalar(dtype: _DType, data: bytes) -> float | int | bool:
    if not isinstance(dtype, _DType):
        raise UnpicklingError("it has a number without a type")
    return dtype.read(data).item()


def _no_bytes() -> bytes:
    """Stands for ``bytes``, by which the pickle of an empty array makes its contents."""
    return b""


def _statistic(owner: object, name: str) -> str:
    """Stands for ``getattr``, by which a ``HistoryBuffer`` names its four statistics."""
    if owner is not _History or name not in ("min", "max", "current", "mean"):
        raise UnpicklingError(f"it asks for the attribute {name!r} of {owner!r}")
    return name


def allowed_globals() -> list[Callable[..., Any] | tuple[Callable[..., Any], str]]:
    """For ``torch.serialization.safe_globals``: the names, and what stands for them."""
    return [
        (_History, "mmengine.logging.history_buffer.HistoryBuffer"),
        (_statistic, "builtins.getattr"),
        (_no_bytes, "builtins.bytes"),
        (_Array, "numpy.ndarray"),
        (_DType, "numpy.dtype"),
        # Both homes of these two, since numpy 2 moved them and older files name the first.
        (_reconstruct, "numpy.core.multiarray._reconstruct"),
        (_reconstruct, "numpy._core.multiarray._reconstruct"),
        (_scalar, "numpy.core.multiarray.scalar"),
        (_scalar, "numpy._core.multiarray.scalar"),
    ]


def settle(value: Any, seen: dict[int, Any] | None = None, depth: int = 0) -> Any:
    """Put real arrays and histories where the stand-ins are, in containers made anew.

    New ones, since a pickle can also set the attributes of an ``OrderedDict``, its methods' names
    among them. Of these only the layers' versions, which PyTorch keeps there, are taken along.

    Raises:
        UnpicklingError: Containers lie in containers deeper than any checkpoint has them.
    """
    if depth > _DEEPEST:
        raise UnpicklingError(f"it is nested more than {_DEEPEST} deep")
    seen = {} if seen is None else seen
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, _History):
        return value.buffer()
    if id(value) in seen:  # what is named twice is one object, also inside of itself
        return seen[id(value)]
    if isinstance(value, dict):
        entries: dict = OrderedDict() if isinstance(value, OrderedDict) else {}
        seen[id(value)] = entries
        for key, entry in dict.items(value):
            entries[key] = settle(entry, seen, depth + 1)
        versions = getattr(value, "__dict__", {}).get("_metadata")
        if isinstance(versions, dict) and isinstance(entries, OrderedDict):
            entries._metadata = settle(versions, seen, depth + 1)  # type: ignore[attr-defined]
        return entries
    if isinstance(value, list):
        items: list = []
        seen[id(value)] = items
        items.extend(settle(item, seen, depth + 1) for item in value)
        return items
    if type(value) is tuple:
        seen[id(value)] = tuple(settle(item, seen, depth + 1) for item in value)
        return seen[id(value)]
    return value
