"""Tensors that depend on sizes alone, made once for each size instead of in every call."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def in_graph() -> bool:
    """Whether a graph is being traced or recorded."""
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or (torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing())
    )


def made_once(make: Callable[P, T]) -> Callable[P, T]:
    """Keep what a function makes of its arguments, the last 16 of them.

    A graph has its own: its sizes may be symbols, and what is kept here may be freed before it.
    """

    def outside_inference(*args: P.args, **kwargs: P.kwargs) -> T:
        # Training may get what inference mode made first, and could not go backwards through it.
        with torch.inference_mode(False):
            return make(*args, **kwargs)

    kept: Any = lru_cache(maxsize=16)(outside_inference)

    @wraps(make)
    def get(*args: P.args, **kwargs: P.kwargs) -> T:
        return (make if in_graph() else kept)(*args, **kwargs)

    return get
