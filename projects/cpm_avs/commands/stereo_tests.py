r"""Test whether a model hears where a sound comes from: scenes with two instances of a class.

    cpm-avs stereo-tests cpm_mbv2-yamnet_stamps-msmi_position CHECKPOINT \
      --out stereo_pan.png

With swapped channels the mask must move to the mirrored instance: `moved` is the share of scenes in
which it was at the one that sounds, and then is at the other. Panned from the left instance to the
right one, the sound must take the mask along: `crossed` is the share of scenes in which it does,
and `middle` where it changes over, of the way from one to the other. A model that only knows what
sounds scores 0 in both, however well it segments.

Written: --out, some of the scenes and the mean over all, and the scores as --out with .json.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from numpy.typing import NDArray

from ..datasets.composed.composed_dataset import ComposedDataset
from ..datasets.composed.scene import draw_picture, mix_sources
from ..errors import UserError
from ..evaluation.stereo_tests import coloured_shares, pan_scores, swap_scores, swappable
from ..files import whole_file, write_whole
from ..inference.model_loading import build_model, find_device, load_config
from ..launch import (
    FIGURES,
    add_cfg_options,
    add_device_option,
    at_least,
    build_dataset,
    built_from,
    output_file,
    read_config,
)
from ..visualization.stereo_figure import PanRow, pan_figure

_COLUMNS = 5  # pictures of a scene in the figure
_SMALLEST = 0.005  # share of a picture that must be seen of an instance
_APART = 0.2  # of the width, at least, between the two


@dataclass(frozen=True)
class Pair:
    """A scene in which one of two instances of a class sounds.

    Attributes:
        index: Of the scene.
        label: Their class.
        masks: What is seen of the one that sounds and of the silent one, (2, H, W) bool.
        places: Of their centres, from 0 to 1 of the width.
    """

    index: int
    label: int
    masks: NDArray[np.bool_]
    places: tuple[float, float]


def pairs(dataset: ComposedDataset) -> Iterator[Pair]:
    """The scenes of a set in which two instances can be seen and told apart by their places."""
    for index in range(dataset.num_scenes):
        plan = dataset.plan(index)
        counts = Counter(item.class_index for item in plan.objects)
        twins = [n for n, item in enumerate(plan.objects) if counts[item.class_index] == 2]
        twins.sort(key=lambda number: not plan.objects[number].sounds)
        items = [plan.objects[number] for number in twins]
        if [item.sounds for item in items] != [True, False]:
            continue
        split, size = dataset.scene_config.split, dataset.image_size
        owner = draw_picture(plan, dataset.library, split=split, size=size).owner
        masks = np.stack([owner == number + 1 for number in twins])
        first, second = (item.center[0] for item in items)
        if masks.mean((1, 2)).min() >= _SMALLEST and abs(first - second) >= _APART:
            yield Pair(index, items[0].class_index, masks, (first, second))


class Listener:
    """Predicts a scene with its sound elsewhere.

    Args:
        model: The segmentor.
        dataset: Whose scenes they are.
    """

    def __init__(self, model: Any, dataset: ComposedDataset) -> None:
        self.model, self.dataset = model, dataset

    @torch.no_grad()
    def predict(self, pair: Pair, sounds: Sequence[NDArray[np.float32]]) -> list[NDArray[np.int64]]:
        """Class maps of a scene's picture with each of these sounds (2, L)."""
        packed = self.dataset[pair.index]
        batch = [
            dict(
                inputs=dict(packed["inputs"], waveform=torch.from_numpy(sound)),
                data_samples=packed["data_samples"].clone(),
            )
            for sound in sounds
        ]
        found = self.model.test_step(pseudo_collate(batch))
        return [one.pred_sem_seg.data[0].cpu().numpy() for one in found]

    def sound(self, pair: Pair, place: float | None = None) -> NDArray[np.float32]:
        """A scene's sound (2, L), with that of the pair's class at ``place``, if it is given."""
        sources = self.dataset.plan(pair.index).sources
        if place is not None:
            sources = tuple(
                replace(one, position=place) if one.class_index == pair.label else one
                for one in sources
            )
        length = self.dataset.num_samples
        return mix_sources(sources, self.dataset.library, num_samples=length, channels=2)


def swap(listener: Listener, scenes: Sequence[Pair]) -> dict[str, Any]:
    """Scores with swapped channels, of the scenes where the mirrored instance is the other one."""
    normal, swapped = [], []
    for pair in filter(lambda one: swappable(one.places), scenes):
        heard = listener.sound(pair)
        maps = listener.predict(pair, [heard, heard[::-1].copy()])
        first, second = (coloured_shares(one, pair.masks, pair.label) for one in maps)
        normal.append(first)
        swapped.append(second)
    if not normal:
        raise UserError("no scene has its two instances left and right; give more scenes (--num)")
    return asdict(swap_scores(np.array(normal), np.array(swapped)))


def pan(
    listener: Listener, scenes: Sequence[Pair], steps: NDArray[np.float64], shown: int
) -> tuple[NDArray[np.float64], list[PanRow]]:
    """Coloured shares of the left and the right instance, (N, S, 2), and some scenes to show."""
    shares: list[list[NDArray[np.float64]]] = []
    rows: list[PanRow] = []
    columns = np.linspace(0, len(steps) - 1, min(_COLUMNS, len(steps))).round().astype(int)
    for pair in scenes:
        order = np.argsort(pair.places)
        left, right = (pair.places[number] for number in order)
        places = [float(min(max(left + step * (right - left), 0), 1)) for step in steps]
        maps = listener.predict(pair, [listener.sound(pair, place) for place in places])
        shares.append([coloured_shares(one, pair.masks[order], pair.label) for one in maps])
        if len(rows) < shown:
            packed = listener.dataset[pair.index]
            rows.append(
                PanRow(
                    picture=packed["inputs"]["img"].flip(0).permute(1, 2, 0).numpy(),
                    sounds=[places[column] for column in columns],
                    predictions=[maps[column] for column in columns],
                    title=listener.dataset.metainfo["classes"][pair.label],
                )
            )
    return np.array(shares), rows


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("checkpoint", type=Path, help="file that training or publish-model wrote")
    parser.add_argument("--out", type=output_file(*FIGURES), required=True, help="picture to write")
    parser.add_argument("--num", type=at_least(1), default=100, help="scenes (default: 100)")
    parser.add_argument("--steps", type=at_least(3), default=11, help="of the pan (default: 11)")
    parser.add_argument(
        "--show", type=at_least(1), default=3, help="scenes that are drawn (default: %(default)s)"
    )
    add_device_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> None:
    """Test as the command line says."""
    options = parse_args(args)
    device = find_device(options.device)
    config = read_config(options.config, options.cfg_options, read=load_config)
    dataset = build_dataset(config, "test_dataloader")
    if not isinstance(dataset, ComposedDataset) or dataset.num_channels != 2:
        raise UserError(
            "the test set must be composed scenes with stereo sound: subset='msmi', num_channels=2"
        )
    scenes = [pair for pair, _ in zip(pairs(dataset), range(options.num), strict=False)]
    if not scenes:
        raise UserError("no test scene shows two instances of a class; set subset='msmi'")
    with built_from(config):
        model, classes = build_model(config, options.checkpoint, device)
    listener = Listener(model, dataset)
    steps = np.linspace(0, 1, options.steps, dtype=np.float64)
    shares, rows = pan(listener, scenes, steps, options.show)
    scores = dict(swap=swap(listener, scenes), pan=asdict(pan_scores(shares, steps)))
    with whole_file(options.out) as part:
        pan_figure(rows, classes, shares, steps).savefig(part, dpi=100)
    write_whole(options.out.with_suffix(".json"), json.dumps(scores, indent=2) + "\n")
    for name, values in scores.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    print(options.out)
