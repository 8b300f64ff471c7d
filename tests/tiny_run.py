"""Runs of the tiny model: a data set and a config file for the training driver."""

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmseg.registry import DATASETS
from tiny import tiny_batch
from torch.utils.data import Dataset


@DATASETS.register_module()
class TinyDataset(Dataset):
    """Pictures and sounds that depend on the draw; ranks get unequal numbers of masks.

    Items show class 1, class 2 and nothing in turns.
    """

    def __init__(self, *, length: int = 10, channels: int = 1) -> None:
        self.length, self.channels = length, channels
        self.metainfo = dict(classes=("background", "cat", "dog"))

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        kind = int(index) % 3
        batch = tiny_batch(seed=index.draw, silent=kind == 2, channels=self.channels)
        place = kind % 2
        sample = batch["data_samples"][place]
        sample.set_metainfo(dict(clip_id=f"clip{int(index)}", frame_index=index.draw))
        inputs = {key: values[place] for key, values in batch["inputs"].items()}
        return dict(inputs=inputs, data_samples=sample)


def write_config(
    path: Path, model: dict[str, Any], *, batch_size: int, max_iters: int, channels: int = 1
) -> Path:
    """Write a config with every hook of the training room; checkpoints every fourth iteration."""
    content = dict(
        default_scope="mmseg",
        custom_imports=dict(
            imports=["projects.cpm_avs", "projects.cpm_avs.training", "tiny", "tiny_run"]
        ),
        model=model,
        train_dataloader=dict(
            dataset=dict(type="TinyDataset", channels=channels),
            sampler=dict(type="InfiniteDrawSampler"),
            batch_size=batch_size,
            num_workers=0,
        ),
        optim_wrapper=dict(
            type="OptimWrapper",
            optimizer=dict(type="AdamW", lr=1e-4),
            clip_grad=dict(max_norm=0.1),
        ),
        param_scheduler=[
            dict(type="LinearLR", start_factor=0.1, by_epoch=False, end=3),
            dict(type="PolyLR", power=0.9, by_epoch=False, begin=3, end=max_iters),
        ],
        train_cfg=dict(type="IterBasedTrainLoop", max_iters=max_iters),
        default_hooks=dict(
            logger=dict(type="LoggerHook", interval=1),
            checkpoint=dict(
                type="ExactCheckpointHook", by_epoch=False, interval=4, max_keep_ckpts=3
            ),
        ),
        custom_hooks=[
            dict(type="RandomStateHook"),
            dict(type="EMUpdateHook", interval=3),
            dict(type="StabilityHook", interval=7),
            dict(type="SkipReportHook", interval=7),
        ],
        visualizer=dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")]),
        log_processor=dict(type="AVSLogProcessor", by_epoch=False),
        randomness=dict(seed=3),
    )
    Config(content).dump(path)
    return path
