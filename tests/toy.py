"""A model, a data set and a criterion with all the state that a run of CPM has, and no depth."""

import random
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmseg.registry import DATASETS, METRICS, MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.utils.data import Dataset

from projects.cpm_avs.datasets.seeding import seeded
from projects.cpm_avs.training.finite import FiniteGuard


@DATASETS.register_module()
class ToyDataset(Dataset):
    """Vectors with noise that depends on the draw; sample 3 stands in for two broken files."""

    METAINFO = dict(classes=("background", "cat", "dog"))

    def __init__(self, *, length: int = 10) -> None:
        self.length = length
        self.metainfo = self.METAINFO

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict:
        draw = getattr(index, "draw", 0)  # validation has no draws
        with seeded(0, draw):
            inputs = torch.linspace(0, 1, 8) * (int(index) + 1) + torch.randn(8)
        skipped = ["broken.wav", "empty.png"] if int(index) == 3 else []
        meta = dict(
            img_path=f"{int(index)}.png",
            clip_id=f"clip{int(index)}",
            frame_index=draw,
            skipped=skipped,
        )
        return dict(inputs=inputs, data_samples=SegDataSample(metainfo=meta))


class ToyClassifier(nn.Module):
    """Mixtures: one buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(4))


class ToyCriterion(nn.Module):
    """A bank that the loss fills, and an EM stand-in that draws from it at random."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.zeros(16))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long))
        self.last_assignment: Tensor | None = None
        self.finite = FiniteGuard()

    def forward(self, output: Tensor, means: Tensor) -> Tensor:
        with torch.no_grad():
            self.bank[self.pointer % 16] = output.sum()
            self.pointer += 1
            # Four queries; the class of each depends on the parameters, so STS does too.
            self.last_assignment = (output * 1e3).long().abs().remainder(4)
        return F.mse_loss(output, means.expand_as(output) + 1)

    def update_classifier(self, classifier: ToyClassifier, *, pace: float) -> None:
        chosen = self.bank[torch.randperm(16)[:4]]
        classifier.means.lerp_(chosen.tanh(), 0.1 * pace)


@MODELS.register_module()
class ToyModel(BaseModel):
    """Draws from all generators in a step; its loss is NaN in the steps ``nan_at`` (from 1)."""

    def __init__(self, *, nan_at: Sequence[int] = ()) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4)
        )
        self.decode_head = nn.Module()
        self.decode_head.classifier = ToyClassifier()
        self.criterion = ToyCriterion()
        self.nan_at = nan_at
        self.steps = 0

    def forward(self, inputs: list[Tensor], data_samples: list, mode: str = "loss") -> dict | list:
        output = self.layers(torch.stack(inputs))
        if mode == "predict":
            return [float(row.sum()) for row in output]
        self.steps += 1
        factor = random.random() + np.random.rand() + np.random.randn()
        main = self.criterion(output, self.decode_head.classifier.means)
        losses = dict(loss_main=main, loss_extra=factor * output.square().mean())
        if self.steps in self.nan_at:
            losses["loss_extra"] = losses["loss_extra"] * float("nan")
        self.criterion.finite.check(losses, data_samples)
        return losses


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Moves all generators, as a validation may."""

    def process(self, data_batch: dict, data_samples: list[float]) -> None:
        _ = random.random(), np.random.rand(), torch.rand(())
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return dict(score=float(np.mean(results)))
