"""tools/benchmark.py: what is timed, and on what."""

from argparse import Namespace
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from test_tools import tool


class _Model:
    """Notes what it is given; like the real one it writes into the samples."""

    decode_head = SimpleNamespace(num_classes=3)
    audio_backbone = SimpleNamespace(in_channels=2)

    def __init__(self) -> None:
        self.given: list[tuple[str, list[torch.Size]]] = []

    def eval(self) -> None: ...

    def train(self) -> None: ...

    def train_step(self, batch: dict, optimiser: str) -> None:
        assert optimiser == "optimiser"
        self._note("training", batch)

    def test_step(self, batch: dict) -> None:
        self._note("prediction", batch)

    def _note(self, step: str, batch: dict) -> None:
        assert not any("seen" in sample for sample in batch["data_samples"])
        for sample in batch["data_samples"]:
            sample.set_metainfo(dict(seen=True))
        self.given.append((step, [sound.shape for sound in batch["inputs"]["waveform"]]))


def test_steps_are_timed_without_the_making_of_their_data(
    tmp_path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """And with the length of sound that each config's pipeline loads."""
    benchmark = tool("benchmark")
    models, configs, timed = [], [], []

    def build(cfg: Config, device: str) -> tuple[_Model, str]:
        models.append(_Model())
        return models[-1], "optimiser"

    def elapsed(step, device: str) -> float:
        timed.append(True)
        step()
        return float(timed.pop())

    def made_sample(*arguments):
        assert not timed
        return original(*arguments)

    original = benchmark._made_sample
    monkeypatch.setattr(benchmark, "_made_sample", made_sample)
    monkeypatch.setattr(benchmark, "_build", build)
    monkeypatch.setattr(benchmark, "_elapsed", elapsed)
    for length in (15360, 48000):
        path = tmp_path / f"sound{length}.py"
        pipeline = [dict(type="LoadAudioWindow", num_samples=length)]
        loader = dict(dataset=dict(type="AVSDataset", pipeline=pipeline))
        Config(dict(model=dict(type="AVSegmentor"), test_dataloader=loader)).dump(path)
        configs.append(str(path))
    benchmark._run_model(Namespace(configs=configs, size=8, batch=2, runs=2, device="cpu"))
    for model, length in zip(models, (15360, 48000), strict=True):
        # One run to warm up and two that count, of one sample and of a batch of two.
        assert model.given == [
            *3 * [("prediction", [(2, length)])],
            *3 * [("training", 2 * [(2, length)])],
        ]
    assert capsys.readouterr().out.count("1.0 frames/s; median of 2") == 2


def test_three_classes_sound_in_a_sample_and_others_in_the_next():
    model = SimpleNamespace(
        decode_head=SimpleNamespace(num_classes=71), audio_backbone=SimpleNamespace(in_channels=1)
    )
    batch = tool("benchmark")._batch(model, size=64, num_samples=8, count=2)
    first, second = (set(s.gt_sem_seg.data.unique().tolist()) for s in batch["data_samples"])
    assert (first, second) == ({0, 1, 2, 3}, {0, 4, 5, 6})
