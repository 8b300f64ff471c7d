"""Tell where a model's score is lost, to names or to masks.

    cpm-avs where-lost CONFIG CHECKPOINT
    cpm-avs where-lost CONFIG CHECKPOINT --scenes 100 --json lost.json

The test set is scored as by `cpm-avs test`, and again with one thing put right: queries with a
false name dropped; the model's own masks with the true names; the true masks of what can be seen,
of the classes that the model names. docs/metrics.md tells more.
"""

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from ..datasets.composed.composed_dataset import ComposeScene
from ..errors import UserError
from ..evaluation.streaming import Sums, add_sums, mask_of
from ..evaluation.where_lost import (
    HEARD_NAMES,
    PREDICTED_NAMES,
    QueriedFrame,
    frame_sums,
    lost_scores,
)
from ..files import write_whole
from ..inference.model_loading import build_model, find_device, load_config
from ..launch import (
    add_cfg_options,
    add_device_option,
    at_least,
    build_dataset,
    built_from,
    output_file,
    read_config,
)
from ..models.av_segmentor import AVSegmentor
from ..models.resizing import Resize

_NAMES = {PREDICTED_NAMES: "predicted names", HEARD_NAMES: "names after TD-A"}


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file, of a model with queries")
    parser.add_argument("checkpoint", type=Path, help="file that training or publish-model wrote")
    parser.add_argument(
        "--scenes",
        type=at_least(1),
        metavar="N",
        help="the first N frames of the test set, or N clips of a set of clips (default: all)",
    )
    parser.add_argument("--json", type=output_file(".json"), help="file for the numbers")
    add_device_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(argv)


def check_queries(config: Config) -> None:
    """Refuse a model without queries.

    Raises:
        UserError: It has none.
    """
    name = config.model.get("type", "")
    kind = MODELS.get(name)  # what is not registered is told where it is built
    if isinstance(kind, type) and not issubclass(kind, AVSegmentor):
        raise UserError(
            f"{config.filename}: model.type is {name!r}, which gives pixels their classes without "
            "queries, so that names and masks can't be told apart; give the config of an "
            "AVSegmentor"
        )


def visible_set(config: Config) -> Any | None:
    """The test set with all labelled that can be seen; None where the data does not tell."""
    config = deepcopy(config)
    frames = config.test_dataloader.dataset
    while "dataset" in frames:
        frames = frames.dataset
    steps = list(frames.get("pipeline", []))
    for place, step in enumerate(steps):
        if TRANSFORMS.get(step["type"]) is ComposeScene:
            frames.pipeline = [*steps[: place + 1], dict(type="LabelVisible"), *steps[place + 1 :]]
            return build_dataset(config, "test_dataloader")
    return None


def batches(dataset: Any, number: int, size: int) -> Iterator[list[dict[str, Any]]]:
    """Frames of the first ``number`` items, ``size`` items at a time; an item may be a clip."""
    for start in range(0, number, size):
        items = [dataset[index] for index in range(start, min(start + size, number))]
        yield [frame for item in items for frame in (item if isinstance(item, list) else [item])]


@torch.no_grad()
def batch_sums(
    model: AVSegmentor, frames: list[dict[str, Any]], visible: list[dict[str, Any]] | None
) -> Sums:
    """What the frames of a batch add to the scores.

    Args:
        model: For inference.
        frames: As their data set packs them.
        visible: The same of ``visible_set``.
    """
    batch = model.data_preprocessor(pseudo_collate(frames), False)
    inputs, samples = batch["inputs"], batch["data_samples"]
    output = model.encode_decode(inputs, [sample.metainfo for sample in samples])
    heard = model.heard(output)
    sums: Sums = {}
    for number, (sample, picture, resize) in enumerate(model.pictures(output, inputs, samples)):
        cls_logits, mask_logits = picture
        seen = None if visible is None else _labels(visible[number]["data_samples"])
        frame = QueriedFrame(
            cls_logits=cls_logits,
            mask_logits=resize(mask_logits),
            heard=heard[number],
            truth=_labels(sample).to(cls_logits.device),
            visible=None if seen is None else seen.to(cls_logits.device),
        )
        draw = partial(_draw, model, mask_logits, resize)
        add_sums(sums, frame_sums(frame, draw))
    return sums


def _draw(model: AVSegmentor, mask_logits: Tensor, resize: Resize, cls_logits: Tensor) -> Tensor:
    return model.draw((cls_logits, mask_logits), resize)


def _labels(sample: SegDataSample) -> Tensor:
    labels: Tensor = mask_of(sample.to_dict(), "gt_sem_seg")
    return labels.long()


def lost_sums(
    model: AVSegmentor, dataset: Any, visible: Any | None, *, items: int, size: int
) -> tuple[Sums, int]:
    """Sums over the first items of a test set, and their frames.

    Args:
        model: For inference.
        dataset: The test set.
        visible: Of ``visible_set``.
        items: Frames, or clips of a ``ClipDataset``.
        size: Items of a batch.
    """
    sums: Sums = {}
    frames = 0
    seen = repeat(None) if visible is None else batches(visible, items, size)
    for batch, labelled in track(
        zip(batches(dataset, items, size), seen, strict=False),
        "Segmenting",
        total=math.ceil(items / size),
        console=Console(stderr=True),
    ):
        add_sums(sums, batch_sums(model, batch, labelled))
        frames += len(batch)
    return sums, frames


def table_of(miou: dict[str, float], f1: dict[str, float], frames: int) -> Table:
    """A row a score."""
    table = Table(title=f"{frames} frames")
    table.add_column("score")
    table.add_column("of")
    table.add_column("%", justify="right")
    for row, value in miou.items():
        table.add_row("dataset/mIoU", row, f"{value:.1f}")
    table.add_section()
    for row, value in f1.items():
        table.add_row("F1", _NAMES[row], "-" if math.isnan(value) else f"{value:.1f}")
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Score, print and write."""
    args = parse_args(argv)
    device = find_device(args.device)
    config = read_config(args.config, args.cfg_options, read=load_config)
    dataset = build_dataset(config, "test_dataloader")
    check_queries(config)
    with built_from(config):
        model, _ = build_model(config, args.checkpoint, device)
    visible = visible_set(config)
    items = min(args.scenes or len(dataset), len(dataset))
    size = config.test_dataloader.get("batch_size", 1)
    sums, frames = lost_sums(model, dataset, visible, items=items, size=size)
    miou, f1 = lost_scores(sums)
    Console(highlight=False).print(table_of(miou, f1, frames))
    if visible is None:
        print("No row has true masks: this data does not tell what can be seen and is silent.")
    if args.json is not None:
        names = {_NAMES[row]: None if math.isnan(value) else value for row, value in f1.items()}
        numbers = dict(unit="percent", frames=frames, mIoU=miou, F1=names)
        write_whole(args.json, json.dumps(numbers, indent=1) + "\n")
        print(args.json)
