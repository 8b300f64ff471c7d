"""Stepping Stones: first where anything sounds, then which class it is."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from inherited import TINY, write
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from projects.cpm_avs.safe_checkpoint import load_safely

SCENES = dict(
    type="StampsDataset", subset="ms", split="val", num_scenes=4, image_size=48,
    pipeline=[dict(type="ComposeScene"), dict(type="PackAVSInputs")],
)  # fmt: skip
STAGE_1 = "\n".join(
    [
        "model = dict(decode_head=dict(num_classes=2))",
        *(
            f"{split}_dataloader = dict(dataset=dict(\n    _delete_=True, type='SoundingDataset', "
            f"dataset=_base_.{split}_dataloader.dataset))"
            for split in ("train", "val", "test")
        ),
        "val_evaluator = test_evaluator = [_base_.val_evaluator[0]]",
    ]
)
#: Nothing learns, so that what was loaded can be told from what was not.
STAGE_2 = "load_from = {!r}\noptim_wrapper = dict(optimizer=dict(lr=0.0))"


def test_every_class_becomes_one_and_what_is_ignored_stays() -> None:
    init_default_scope("mmseg")
    whole = DATASETS.build(SCENES)
    binary = DATASETS.build(dict(type="SoundingDataset", dataset=SCENES))
    assert len(binary) == 4 and binary.metainfo["classes"] == ("background", "sounding")
    seen = set()
    for index in range(4):
        expected, found = (data[index]["data_samples"] for data in (whole, binary))
        assert torch.equal(found.gt_sem_seg.data, (expected.gt_sem_seg.data > 0).long())
        assert found.sound_classes == ([1] if expected.sound_classes else [])
        seen |= set(expected.sound_classes)
    assert len(seen) > 2

    def with_ignored(_: Any, __: int) -> dict[str, Any]:
        item = whole[0]
        item["data_samples"].gt_sem_seg.data[0, :3, 0] = torch.tensor([0, 7, 255])
        return item

    binary.dataset = type("Ignoring", (), dict(__getitem__=with_ignored, ignore_index=255))()
    assert binary[0]["data_samples"].gt_sem_seg.data[0, :3, 0].tolist() == [0, 1, 255]


def test_the_second_stage_begins_with_all_of_the_first_but_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train: Any = importlib.import_module("projects.cpm_avs.commands.train")
    monkeypatch.chdir(tmp_path)
    ends = []
    for name, text in (("first", STAGE_1), ("second", STAGE_2.format("first/iter_2.pth"))):
        (tmp_path / f"of_{name}").mkdir()
        config = write(tmp_path / f"of_{name}", TINY, text)
        train.main([str(config), "--work-dir", name])
        MMLogger._instance_dict.clear()
        ends.append(load_safely(tmp_path / name / "iter_2.pth"))
    assert [len(end["meta"]["dataset_meta"]["classes"]) for end in ends] == [2, 25]
    first, second = (end["state_dict"] for end in ends)
    parts = ("backbone.", "audio_backbone.", "audio_decoder.", "decode_head.")
    anew = set()
    for name, value in second.items():
        statistics = name.endswith(("running_mean", "running_var", "num_batches_tracked"))
        if not name.startswith(parts) or statistics:
            continue
        if name in first and value.shape == first[name].shape:
            assert torch.equal(value, first[name]), name
        else:
            anew.add(name)
    assert anew and all(name.startswith("decode_head.decoder.classifier.") for name in anew)
