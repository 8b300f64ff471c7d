"""Checkpoints as safetensors: numbers behind a header in JSON, which no reader takes for code.

The meta data of a published model (its classes, its age) is text in the header, under ``meta``.
https://github.com/huggingface/safetensors
"""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

SUFFIX = ".safetensors"


def read_safetensors(path: Path) -> dict[str, Any]:
    """A checkpoint: ``state_dict`` on the CPU, and ``meta``.

    Raises:
        SafetensorError, ValueError: It is damaged, or its meta data is no JSON.
    """
    from safetensors import safe_open
    from safetensors.torch import load_file

    with safe_open(path, framework="pt") as file:
        meta = json.loads((file.metadata() or {}).get("meta", "{}"))
    return dict(meta=meta, state_dict=load_file(path))


def safetensors_of(weights: dict[str, Tensor], meta: dict[str, Any]) -> bytes:
    """The contents of a file with these weights and meta data."""
    from safetensors.torch import save

    # One by one in memory: views of one another can't be told apart by what is in the file.
    apart = {key: value.detach().cpu().clone().contiguous() for key, value in weights.items()}
    return save(apart, dict(format="pt", meta=json.dumps(meta)))
