"""What is computed in full precision, whatever a run allows elsewhere."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Half precision to float32; float64, in which gradients are checked, stays."""
    return x if x.dtype == torch.float64 else x.float()


@contextmanager
def full_products(device: torch.device) -> Iterator[None]:
    """Matrix products of float32 in float32: no autocast, no TF32, no bfloat16 in its place.

    The square of a log-density is expanded into products of about 1,000 nats that cancel; with the
    10 bits of TF32 one nat of what remains would be noise. All settings are as before afterwards.

    Args:
        device: Whose autocast is switched off.
    """
    backends: Any = torch.backends
    with torch.autocast(device.type, enabled=False), ExitStack() as afterwards:
        if hasattr(backends, "fp32_precision"):  # from torch 2.9 on; older calls set it, too
            for products in (backends.cuda.matmul, backends.mkldnn.matmul):
                before = products.fp32_precision
                # What is exact already is left alone: it may follow a setting above it.
                if before not in ("none", "ieee"):
                    products.fp32_precision = "ieee"
                    afterwards.callback(setattr, products, "fp32_precision", before)
        else:
            afterwards.callback(
                torch.set_float32_matmul_precision, torch.get_float32_matmul_precision()
            )
            torch.set_float32_matmul_precision("highest")
        yield
