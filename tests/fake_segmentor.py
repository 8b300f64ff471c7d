"""A segmentor that can be checked by eye: green pixels sound while the window is loud."""

from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

import projects.cpm_avs  # noqa: F401  (registers the data preprocessor)

CLASSES = ("background", "green square", "red patch")


@MODELS.register_module()
class FakeSegmentor(BaseSegmentor):
    """Keeps to the contract of ``AVSegmentor``: ``predict`` and ``best_step``."""

    draws_all_classes = True

    def __init__(self, *, decode_head: dict, criterion: dict | None = None) -> None:
        preprocessor = dict(type="AVDataPreprocessor", mean=[0.0] * 3, std=[255.0] * 3)
        super().__init__(data_preprocessor=preprocessor)
        assert criterion is None, "an inferencer builds no criterion"
        self.class_scores = torch.nn.Parameter(torch.ones(decode_head["num_classes"]))
        self.batches: list[int] = []

    def predict(self, inputs: dict, data_samples: list[SegDataSample]) -> list[SegDataSample]:
        self.batches.append(len(data_samples))
        for image, waveform, sample in zip(
            inputs["img"], inputs["waveform"], data_samples, strict=True
        ):
            height, width = sample.img_shape
            red, green, blue = image[:, :height, :width]
            loud = float(waveform.abs().mean() > 0.01)
            scores = torch.full((3, height, width), 0.3)
            scores[1] = 0.8 * loud * ((green > 0.5) & (red < 0.3))
            scores = scores[None] * self.class_scores.detach()[:, None, None]
            scores[:, 2] = 0
            scores = F.interpolate(scores, tuple(sample.ori_shape), mode="nearest")[0]
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=scores.argmax(0, keepdim=True))
        return data_samples

    def best_step(self, data: dict) -> list[SegDataSample]:
        samples = self.test_step(data)
        for sample in samples:
            sample.pred_scores = PixelData(data=sample.seg_logits.data.amax(0, keepdim=True))
            del sample.seg_logits
        return samples

    def loss(self, inputs: Tensor, data_samples: list) -> dict: ...

    def extract_feat(self, inputs: Tensor) -> Tensor: ...

    def encode_decode(self, inputs: Tensor, batch_data_samples: list) -> Tensor: ...

    def _forward(self, inputs: Tensor, data_samples: list | None = None) -> Tensor: ...


def write_model(folder: Path, *, num_classes: int = 3, window: int = 1600) -> tuple[Path, Path]:
    """A config and a checkpoint; the latter also holds what training leaves behind."""
    config = folder / "fake_model.py"
    config.write_text(
        f"""
custom_imports = dict(imports=['projects.cpm_avs', 'projects.cpm_avs.training.nowhere'])
model = dict(type='FakeSegmentor', decode_head=dict(num_classes={num_classes}),
             criterion=dict(type='Unregistered'))
test_dataloader = dict(dataset=dict(type='AVSBenchSemanticDataset',
    metainfo=dict(classes=['background', *'abcdef'][:{num_classes}]), pipeline=[
    dict(type='LoadAudioWindow', num_samples={window}, channels=1),
    dict(type='Resize', scale=(64, 48), keep_ratio=True),
    dict(type='PackAVSInputs')]))
"""
    )
    checkpoint = folder / "fake_model.pth"
    state = {
        "class_scores": torch.ones(num_classes),
        "criterion.bank": torch.zeros(5),
    }
    meta = dict(dataset_meta=dict(classes=CLASSES if num_classes == 3 else ("a",) * num_classes))
    torch.save(dict(state_dict=state, meta=meta), checkpoint)
    return config, checkpoint
