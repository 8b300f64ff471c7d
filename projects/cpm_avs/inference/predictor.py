"""How a model is run: its precision, and whether its network is recorded."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample

from ..structures import UserError
from .recorded import record

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Predictor:
    """From a collated batch to the samples with their predictions.

    Args:
        model: On its device, for inference.
        device: Where it is.
        precision: A key of ``PRECISIONS``.
        recorded: Whether to replay the network, see ``RecordedSegmentor``.
    """

    def __init__(
        self, model: BaseModel, device: torch.device, *, precision: str, recorded: bool
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision={precision!r}: give one of {', '.join(PRECISIONS)}")
        self.model = record(model) if recorded else model
        self.device, self.precision = device, precision

    def __call__(self, data: dict[str, Any]) -> list[SegDataSample]:
        with torch.inference_mode(), autocast(self.device, self.precision):
            return self.model.test_step(data)


def autocast(device: str | torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision for what runs inside; nothing for 'fp32'."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=PRECISIONS[precision])
