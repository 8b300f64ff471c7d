"""Reads the variables of a TensorFlow SavedModel without TensorFlow.

``variables.index`` is a table in LevelDB's format: blocks of sorted, prefix-compressed keys, an
index block over them, and a footer that points to the index. Each value is a BundleEntryProto that
says where in ``variables.data-00000-of-00001`` the raw little-endian tensor lies. Only what Keras
writes by default is read: one shard, no block compression, float32 (other types are skipped).

Formats: https://github.com/google/leveldb/blob/main/doc/table_format.md and
tensorflow/core/protobuf/tensor_bundle.proto.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOOTER_BYTES = 48
TABLE_MAGIC = 0xDB4775248B80FB57
DT_FLOAT = 1


def read_tensor_bundle(prefix: str | Path) -> dict[str, NDArray[np.float32]]:
    """Name to array for every float32 variable of the bundle.

    Args:
        prefix: Path without the endings, such as ``.../variables/variables``.
    """
    index = Path(f"{prefix}.index").read_bytes()
    data = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    arrays = {}
    for key, value in _table_entries(index):
        entry = _message(value)
        # The entry with the empty key is the header; an absent field has its default, 0.
        if key and entry.get(1) == [DT_FLOAT]:
            shape = _shape(entry[2][0]) if 2 in entry else ()
            offset, size = (entry.get(field, [0])[0] for field in (4, 5))
            if size != 4 * int(np.prod(shape)) or offset + size > len(data):
                raise ValueError(f"{prefix}: {key.decode()} is damaged; fetch the file again")
            flat = np.frombuffer(data, dtype="<f4", count=size // 4, offset=offset)
            arrays[key.decode()] = flat.reshape(shape).astype(np.float32)
    return arrays


def _table_entries(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    if len(table) < FOOTER_BYTES or struct.unpack("<Q", table[-8:])[0] != TABLE_MAGIC:
        raise ValueError("not a TensorBundle index: the table's magic number is missing")
    footer = table[-FOOTER_BYTES:]
    at = 0
    for _ in range(2):  # the handle of the meta-index block, two numbers, comes first
        _, at = _varint(footer, at)
    for _, handle in _block_entries(_block(table, footer[at:])):
        yield from _block_entries(_block(table, handle))


def _block(table: bytes, handle: bytes) -> bytes:
    offset, at = _varint(handle, 0)
    size, _ = _varint(handle, at)
    if table[offset + size] != 0:
        raise ValueError("the TensorBundle index is compressed; only plain blocks can be read")
    return table[offset : offset + size]


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (restarts + 1)
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        size, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + size]
        at += size


def _shape(message: bytes) -> tuple[int, ...]:
    """TensorShapeProto: repeated dim = 2 { size = 1 }."""
    return tuple(_message(dim)[1][0] for dim in _message(message).get(2, []))


def _message(data: bytes) -> dict[int, list[Any]]:
    """Fields of a protobuf message: number to its values, integers or bytes."""
    fields: dict[int, list[Any]] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value: int | bytes
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
            case 2:
                size, at = _varint(data, at)
                value, at = data[at : at + size], at + size
            case 5:
                value, at = data[at : at + 4], at + 4
            case wire_type:
                raise ValueError(f"wire type {wire_type} does not occur in a TensorBundle index")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
