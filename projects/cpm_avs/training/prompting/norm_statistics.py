"""Batch norms that learn nothing from what inference never sees."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def keep_statistics(module: nn.Module) -> Iterator[None]:
    """Leave the running statistics of a module's batch norms as they are.

    Norms in training mode still normalise by the batch; those in evaluation mode are not affected.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
