"""Python's, NumPy's and PyTorch's generators, taken and set together."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

RandomState = dict[str, Any]


def get_random_state() -> RandomState:
    """Python's, NumPy's and PyTorch's generators as tensors and numbers (weights_only-safe)."""
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state = dict(
        python=[version, torch.tensor(words), gauss],
        numpy=[
            torch.from_numpy(np.asarray(keys, dtype=np.int64)),
            int(position),
            int(has_gauss),
            cached,
        ],
        torch=torch.get_rng_state(),
    )
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: RandomState) -> None:
    """Undo of `get_random_state`; the tensors may lie on any device.

    Raises:
        ValueError: NumPy's place in its numbers is none: it would read other memory.
        Exception: Of the generators, where it is no such state.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    keys, position, has_gauss, cached = state["numpy"]
    keys = keys.cpu().numpy().astype(np.uint32)
    if not 0 <= position <= len(keys):
        raise ValueError(f"{position} is no place in {len(keys)} numbers")
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())


@contextmanager
def repeatable(seed: int) -> Iterator[None]:
    """Inside, all generators start from a seed; outside, they go on as if nothing was drawn."""
    outer = get_random_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_random_state(outer)


def seeded_state(seed: int, rank: int, iteration: int) -> RandomState:
    """State that a rank begins with, the same for the same arguments and unlike any other's."""
    word = int(np.random.SeedSequence((seed, rank, iteration)).generate_state(1)[0])
    with repeatable(word):
        return get_random_state()
