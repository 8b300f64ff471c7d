"""Frames and windows of sound to model inputs, as the config's test pipeline makes them."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.config import Config
from mmseg.registry import DATASETS, TRANSFORMS
from mmseg.structures import SegDataSample

from ..config_files import ConfigError, hint_of_unregistered
from ..constants import SAMPLE_RATE
from ..errors import UserError
from ..media.audio_functional import Waveform
from ..media.video_io import Frame


@dataclass(frozen=True)
class Preparation:
    """How the model wants its inputs.

    Attributes:
        resizes: The test pipeline's transforms that change the picture's size.
        num_samples: L, samples of a window of sound.
        channels: A, 1 or 2.
        sample_rate: Hz.
    """

    resizes: tuple[BaseTransform, ...]
    num_samples: int
    channels: int
    sample_rate: int

    @classmethod
    def from_config(cls, config: Config) -> "Preparation":
        """Read it from the test data's pipeline, or from the scenes that a data set composes."""
        dataset = innermost_test_set(config)
        pipeline = dataset.get("pipeline") or config.get("test_pipeline", [])
        resizes = [step for step in pipeline if "Resize" in step["type"]]
        loading: dict[str, Any] = next((step for step in pipeline if "num_samples" in step), {})
        side = _setting(dataset, "image_size", 0)
        if not resizes and side:
            # The short side, so that an object in a wide frame is as large as it was in training.
            resizes = [dict(type="Resize", scale=(8 * side, side), keep_ratio=True)]
        return cls(
            resizes=tuple(TRANSFORMS.build(step) for step in resizes),
            num_samples=loading.get("num_samples", _setting(dataset, "num_samples", 15360)),
            channels=loading.get("channels", _setting(dataset, "num_channels", 1)),
            sample_rate=loading.get("sample_rate", SAMPLE_RATE),
        )

    def __call__(
        self, frames: list[Frame], windows: list[Waveform], output_size: tuple[int, int]
    ) -> dict[str, Any]:
        """A collated batch for ``model.best_step``.

        Args:
            frames: B pictures, which follow one another.
            windows: B sounds (A, L).
            output_size: Height and width at which masks are wanted.
        """
        images, samples = [], []
        for frame in frames:
            shape = frame.image.shape[:2]
            results: dict[str, Any] = dict(img=frame.image, img_shape=shape, ori_shape=shape)
            try:
                for resize in self.resizes:
                    results = resize(results)
            except cv2.error as error:  # one side would have no pixel
                raise UserError(
                    f"a picture of {shape[1]} x {shape[0]} pixels is too thin for the model; "
                    "give one that is wider or higher"
                ) from error
            image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
            images.append(torch.from_numpy(image))
            samples.append(
                SegDataSample(
                    metainfo=dict(
                        ori_shape=output_size,
                        img_shape=results["img"].shape[:2],
                        scale_factor=results.get("scale_factor", (1.0, 1.0)),
                        clip_length=len(frames),
                        frame_time=frame.time,
                    )
                )
            )
        waveforms = [torch.from_numpy(np.ascontiguousarray(window)) for window in windows]
        return dict(inputs=dict(img=images, waveform=waveforms), data_samples=samples)


def innermost_test_set(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the test's data set, or of the first that it wraps: all share a pipeline."""
    dataset = (config.get("test_dataloader") or {}).get("dataset") or {}
    while "datasets" in dataset or "dataset" in dataset:
        dataset = dataset["datasets"][0] if "datasets" in dataset else dataset["dataset"]
    return dataset


def _setting(dataset: dict[str, Any], name: str, otherwise: int) -> int:
    """An argument of a data set that composes its samples: the config's, or the class's default."""
    if name in dataset or "type" not in dataset:
        return dataset.get(name, otherwise)
    kind = DATASETS.get(dataset["type"])
    if kind is None:
        raise ConfigError(
            f"test_dataloader.dataset.type is {dataset['type']!r}, which is not registered; "
            f"{hint_of_unregistered(dataset['type'], DATASETS)}"
        )
    parameter = inspect.signature(kind).parameters.get(name)
    return parameter.default if parameter else otherwise
