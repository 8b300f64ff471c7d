"""Configs that lie elsewhere and inherit the project's: they train, or say why not."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from config_leaves import CONFIGS
from inherited import TINY, write
from mmengine.logging import MMLogger
from mmseg.registry import DATASETS
from PIL import Image

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.datasets.avs_dataset import AVSDataset
from projects.cpm_avs.launch import read_config
from projects.cpm_avs.launch.config_agreement import check_counting

ROOT = CONFIGS.parent

#: A data set of one's own below the paper's model and schedule, which count in epochs.
OWN = f"""
_base_ = [
    {str(CONFIGS / "_base_/default_runtime.py")!r},
    {str(CONFIGS / "_base_/schedules/schedule_100e.py")!r},
    {str(CONFIGS / "_base_/models/cpm_r50.py")!r},
    {str(CONFIGS / "_base_/datasets/avs_common.py")!r},
]
custom_imports = dict(
    imports=["projects.cpm_avs", "projects.cpm_avs.training", "tiny", "test_inherited_configs"]
)
model = dict(
    backbone=dict(
        _delete_=True, type="SwinTransformer", embed_dims=24, depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
    ),
    audio_backbone=dict(_delete_=True, type="TinyAudioBackbone"),
    decode_head=dict(
        in_channels=[24, 48, 96, 192], num_classes=3, embed_dims=32, num_queries=4,
        num_encoder_layers=1, num_audio_layers=1, num_visual_layers=1, feedforward_channels=64,
    ),
)
before = [*_base_.load_visual, _base_.load_window]
train_pipeline = [*before, dict(type="Resize", scale=(64, 64)), _base_.pack]
test_pipeline = [*before, _base_.pack]
train_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="EpochDrawSampler"),
    dataset=dict(
        type="RepeatDataset", times=2,
        dataset=dict(type="OwnFrames", data_root="frames", pipeline=train_pipeline),
    ),
)
val_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="OwnFrames", data_root="frames", pipeline=test_pipeline, test_mode=True),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="IoUMetric", iou_metrics=["mIoU"])
test_evaluator = val_evaluator
train_cfg = dict(max_epochs=1, val_interval=1)
default_hooks = dict(checkpoint=dict(save_best="mIoU"), acp_quality=None)
"""


@DATASETS.register_module()
class OwnFrames(AVSDataset):
    """As in docs/own-data.md."""

    METAINFO = dict(classes=("background", "a", "b"), palette=[[0, 0, 0], [9, 9, 9], [99, 99, 99]])

    def load_data_list(self) -> list[dict[str, Any]]:
        return [
            self.entry(
                img_path=str(path),
                seg_map_path=str(path.with_suffix(".png")),
                audio_path=str(path.with_suffix(".wav")),
                audio_start=0.0,
                clip_id=path.stem,
                frame_index=0,
                subset="own",
            )
            for path in sorted(Path(self.data_root).glob("*.jpg"))
        ]


def write_frames(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        path, labels = folder / str(number), np.zeros((40, 48), np.uint8)
        labels[8:32, 8:32] = 1 + number
        Image.fromarray(np.stack([labels * 90] * 3, -1)).save(path.with_suffix(".jpg"))
        Image.fromarray(labels).save(path.with_suffix(".png"))
        tone = 0.3 * np.sin(np.arange(16000) * (0.1 + number))
        soundfile.write(path.with_suffix(".wav"), tone, 16000)


INHERITED = {
    "own data, Swin, epochs, IoUMetric": (OWN, ""),
    "by iterations": (
        OWN,
        "train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=2, val_interval=2)\n"
        "param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False, end=2)]\n"
        "default_hooks = dict(\n"
        "    checkpoint=dict(by_epoch=False, interval=2), stability=dict(interval=2),\n"
        "    skip_report=dict(interval=2), logger=dict(log_metric_by_epoch=False))\n"
        "log_processor = dict(by_epoch=False)",
    ),
    "linear, fewer hooks": (
        TINY,
        "model = dict(\n"
        "    decode_head=dict(classifier=dict(_delete_=True, type='LinearClassifier')),\n"
        "    criterion=dict(mixture=None, prompting=None))\n"
        "default_hooks = dict(em_update=None, acp_quality=None, visualization=None)",
    ),
    "SGD, accumulation, EMA": (
        TINY,
        "optim_wrapper = dict(\n"
        "    optimizer=dict(_delete_=True, type='SGD', lr=0.01, weight_decay=0.0),\n"
        "    accumulative_counts=2)\n"
        "custom_hooks = [dict(type='EMAHook')]\n"
        "vis_backends = [dict(type='LocalVisBackend')]\n"
        "visualizer = dict(vis_backends=vis_backends)",
    ),
    "without validation, mmengine's checkpoints": (
        TINY,
        "val_cfg = val_dataloader = val_evaluator = None\n"
        "default_hooks = dict(checkpoint=dict(\n"
        "    _delete_=True, type='CheckpointHook', by_epoch=False, interval=2))",
    ),
}


@pytest.mark.parametrize("case", INHERITED)
def test_it_trains(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_frames(tmp_path / "frames")
    config = write(tmp_path, *INHERITED[case])
    train: Any = importlib.import_module("projects.cpm_avs.commands.train")
    train.main([str(config), "--work-dir", str(tmp_path / "run")])
    assert list((tmp_path / "run").glob("*_[12].pth"))
    MMLogger._instance_dict.clear()


REFUSED = {
    "a variable that the base has used": ("num_classes = 5", "num_classes changes nothing here"),
    "as a dict": ("dataset = dict(num_scenes=9)", "dataset changes nothing here: base.py has used"),
    "and a part that it went to": (
        "audio_channels = 2",
        r"set model\.audio_backbone\.in_channels$",
    ),
    "SGD beside AdamW's": (
        "optim_wrapper = dict(optimizer=dict(type='SGD'))",
        r"optimizer\.betas: SGD takes no 'betas'; .*goes by _delete_=True",
    ),
    "SGD without what is multiplied": (
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='SGD', lr=0.1))",
        "has no weight_decay, which decay_mult, norm_decay_mult of .*give weight_decay=0",
    ),
    "an optimiser of nobody": (
        "optim_wrapper = dict(optimizer=dict(_delete_=True, type='Lion', lr=1, weight_decay=0))",
        "optimizer.type is 'Lion', which is not registered",
    ),
    "Swin beside MobileNet's": (
        "model = dict(backbone=dict(type='SwinTransformer'))",
        r"model\.backbone\.\w+: SwinTransformer takes no .*goes by _delete_=True",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_says_why_not(case: str, tmp_path: Path) -> None:
    text, sentence = REFUSED[case]
    with pytest.raises(ConfigError, match=sentence):
        read_config(str(write(tmp_path, TINY, text)))


def test_overrides_are_found_at_every_level(tmp_path: Path) -> None:
    write(tmp_path, TINY, "img_scale = 64")
    (tmp_path / "above.py").write_text("_base_ = 'own.py'\nnumber = 3\n")
    with pytest.raises(ConfigError, match=r"own\.py: img_scale changes nothing here"):
        read_config(str(tmp_path / "above.py"))


def test_what_a_file_uses_itself_is_no_override(tmp_path: Path) -> None:
    text = "num_classes = 25\nimg_scale = 32\n"
    text += "train_dataloader = dict(dataset=dict(image_size=img_scale))"
    assert read_config(str(write(tmp_path, TINY, text))).img_scale == 32


EPOCHS = dict(train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1))
ITERATIONS = dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=1))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            EPOCHS | dict(train_dataloader=dict(sampler=dict(type="InfiniteDrawSampler"))),
            "is an InfiniteDrawSampler, whose epoch has no end",
        ),
        (
            ITERATIONS | dict(default_hooks=dict(checkpoint=dict(interval=1))),
            r"give default_hooks\.checkpoint\.by_epoch=False",
        ),
        (
            ITERATIONS | dict(param_scheduler=[dict(by_epoch=False), dict(type="PolyLR")]),
            r"param_scheduler\.1 counts in epochs",
        ),
        (ITERATIONS | dict(param_scheduler=dict(by_epoch=False)), None),
        (
            dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=9, val_begin=10)),
            "val_begin is 10, and training ends at 9: it would never be validated",
        ),
        (dict(train_cfg=dict(type="IterBasedTrainLoop", max_iters=9, val_begin=9)), None),
        (EPOCHS | dict(default_hooks=dict(checkpoint=dict(by_epoch=False))), None),
        ({}, None),
    ],
)
def test_a_run_counts_in_one_way(settings: dict[str, Any], sentence: str | None) -> None:
    if sentence is None:
        check_counting(settings)
    else:
        with pytest.raises(ConfigError, match=sentence):
            check_counting(settings)
