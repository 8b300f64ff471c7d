"""How a model is run: its precision, and whether its network is recorded."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.structures import SegDataSample

from ..errors import UserError
from ..models.av_segmentor import ClipPast
from .recorded import record

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class FrameMemory:
    """What is kept of a clip's frames while the next ones are predicted.

    Of a model that looks back, its queries in the last T - 1 frames, and of one that smooths, the
    frame before, however long the clip is; of one that sees every frame by itself, nothing. Each
    clip has its own.
    """

    def __init__(self) -> None:
        self.past: ClipPast | None = None


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
        self._follow: Any = model.follow if getattr(model, "follows", False) else None
        if recorded and self._follow is not None:
            raise UserError(
                "a model whose frames depend on those before carries something from frame to "
                "frame, which a recorded network does not; leave recorded (--record) out"
            )
        self._preprocess = model.data_preprocessor
        self.model: Any = record(model) if recorded else model
        #: Whether a map (H, W) of every class is held while a frame is drawn.
        self.draws_all_classes = recorded or self.model.draws_all_classes
        self.device, self.precision = device, precision

    def __call__(self, data: dict[str, Any], memory: FrameMemory) -> list[SegDataSample]:
        """Predict frames that follow on those that the memory is of."""
        with torch.inference_mode(), autocast(self.device, self.precision):
            if self._follow is None:
                return self.model.best_step(data)
            batch = self._preprocess(data, False)
            samples, memory.past = self._follow(batch["inputs"], batch["data_samples"], memory.past)
            return samples


def autocast(device: str | torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision for what runs inside; nothing for 'fp32'."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=PRECISIONS[precision])
