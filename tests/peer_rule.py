"""The rule by which other methods' networks were filled to get ``tests/peer_numbers``.

The numbers come from a run of each method's original code, on the CPU in evaluation mode. A weight
depends on its published name and shape alone, so no file of weights is needed.
"""

import itertools
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

NUMBERS = Path(__file__).parent / "peer_numbers"
_PART = 1 << 14  # numbers that are worked on together, which stay in the cache


def load_numbers(name: str) -> dict[str, Any]:
    """``keys`` (names to shapes), ``parameters``, ``cases`` and ``losses`` of one network."""
    numbers = json.loads((NUMBERS / f"{name}.json").read_text())
    numbers["keys"] = expanded(numbers["keys"])
    return numbers


def expanded(patterns: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Published names out of ``a.{0-2,5}.{weight,bias}``: the list is a tenth as long so."""
    names = {}
    for pattern, shape in patterns.items():
        parts = re.split(r"\{(.*?)\}", pattern)
        choices = [_choices(part) if k % 2 else [part] for k, part in enumerate(parts)]
        names.update({"".join(one): list(shape) for one in itertools.product(*choices)})
    return names


def _choices(braces: str) -> list[str]:
    """Alternatives between braces: words, and ranges of numbers with both ends."""
    found: list[str] = []
    for word in braces.split(","):
        ends = re.fullmatch(r"(\d+)-(\d+)", word)
        found += map(str, range(int(ends[1]), int(ends[2]) + 1)) if ends else [word]
    return found


def weight(name: str, shape: Sequence[int]) -> Tensor:
    """An entry of the published state dict, float32; counters, alone in being whole, are 0."""
    if name.endswith("num_batches_tracked"):
        return torch.zeros(tuple(shape), dtype=torch.int64)
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    variance = name.endswith("running_var")
    around, factor = 0.0, math.sqrt(1 / math.prod(shape[1:]))
    if name.endswith("running_mean"):
        factor = 0.1
    elif name.endswith("bias"):
        factor = 0.02
    elif variance or (len(shape) == 1 and name.endswith(".weight")):
        around, factor = 1.0, 0.1
    values = np.empty(math.prod(shape), dtype=np.float32)
    # In parts: memory for all of them in float64 would take longer to get than the numbers.
    for part in np.split(values, range(_PART, len(values), _PART)):
        drawn = generator.standard_normal(len(part))
        part[:] = around + factor * (np.abs(drawn) if variance else drawn)
    return torch.from_numpy(values.reshape(shape))


#: Weights by name and shape.
Drawn = dict[tuple[str, tuple[int, ...]], Tensor]


def checkpoint(keys: Mapping[str, Sequence[int]], drawn: Drawn | None = None) -> dict[str, Tensor]:
    """A state dict under the published names, as a published file would hold it.

    Args:
        keys: Names to shapes.
        drawn: Weights of other networks, which are not drawn again; the rest is added to them.
            Networks that take them as they are share memory, and none may learn.
    """
    drawn = {} if drawn is None else drawn
    wanted = {name: (name, tuple(shape)) for name, shape in keys.items()}
    drawn.update({key: weight(*key) for key in wanted.values() if key not in drawn})
    return {name: drawn[key] for name, key in wanted.items()}


#: Those of ``nn.init`` come here whole: what they call does not.
_DRAWING = (Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.kaiming_uniform_)


class Unfilled(TorchFunctionMode):
    """Within it modules get memory for their weights and no random numbers, which take seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def frames(number: int = 5, size: int = 224) -> Tensor:
    """Normalised RGB frames (number, 3, size, size); more frames begin with the same ones."""
    return _normal(1, (number, 3, size, size))


def log_mel(number: int = 5, channels: int = 1, steps: int = 96) -> Tensor:
    """Log-mel patches (number, channels, steps, 64)."""
    return _normal(2, (number, channels, steps, 64))


def coarse_truth(high: int, number: int = 5) -> Tensor:
    """Label maps (number, 224, 224) int64 below ``high``, of 7 x 7 cells."""
    cells = np.random.default_rng(4).integers(0, high, (number, 7, 7))
    return torch.from_numpy(cells.repeat(32, 1).repeat(32, 2))


def _normal(seed: int, shape: Sequence[int]) -> Tensor:
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return torch.from_numpy(drawn.astype(np.float32))


def assert_agrees(tensor: Tensor, numbers: Mapping[str, Any], what: str = "") -> None:
    """A tensor is the original's: statistics to 1e-4, single values to a thousandth of the std.

    The original's own rounding moves single values by up to 1e-4 of the std.

    Args:
        tensor: In the layout of the original's.
        numbers: Its ``shape``, ``mean``, ``std``, ``l2`` and ``samples``, the values at the first
            of the flat indices ``default_rng(3).integers(0, numel, 64)``.
        what: Name for the message.
    """
    assert list(tensor.shape) == numbers["shape"], what
    values, std = tensor.detach().flatten(), numbers["std"]
    sums = torch.zeros(2, dtype=torch.float64)
    for part in values.split(_PART):
        part = part.double()
        sums += torch.stack([part.sum(), part.dot(part)])
    mean, square = sums / len(values)
    found = torch.stack([mean, (square - mean * mean).sqrt(), (square * len(values)).sqrt()])
    expected = torch.tensor([numbers["mean"], std, numbers["l2"]], dtype=torch.float64)
    allowed = 1e-4 * torch.tensor([std, std, numbers["l2"]], dtype=torch.float64)
    assert ((found - expected).abs() <= allowed).all(), (what, found, expected)
    at = torch.from_numpy(np.random.default_rng(3).integers(0, values.numel(), 64))
    samples = torch.tensor(numbers["samples"], dtype=torch.float64)
    worst = float((values[at][: len(samples)].double() - samples).abs().max()) / std
    assert worst <= 1e-3, f"{what}: off by {worst:.2e} of the std"
