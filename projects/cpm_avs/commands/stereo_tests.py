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
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from ..datasets.composed.composed_dataset import ComposedDataset
from ..datasets.composed.twins import twins_of
from ..errors import UserError
from ..evaluation.stereo_scores import pan_scores, swappable
from ..evaluation.stereo_tests import Listener, pan, swap
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
from ..visualization.stereo_figure import PanRow, pan_figure, pan_row


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
    scenes = list(islice(twins_of(dataset), options.num))
    if not scenes:
        raise UserError("no test scene shows two instances of a class; set subset='msmi'")
    if not any(swappable(scene.places) for scene in scenes):
        raise UserError("no scene has its two instances left and right; give more scenes (--num)")
    with built_from(config):
        model, classes = build_model(config, options.checkpoint, device)
    listener = Listener(model)
    steps = np.linspace(0, 1, options.steps, dtype=np.float64)
    names, shares = dataset.metainfo["classes"], []
    rows: list[PanRow] = []
    for done in pan(listener, scenes, steps):
        shares.append(done.shares)
        if len(rows) < options.show:
            picture = done.scene.packed()["inputs"]["img"].flip(0).permute(1, 2, 0).numpy()
            rows.append(pan_row(picture, done.places, done.maps, names[done.scene.label]))
    scores = dict(
        swap=asdict(swap(listener, scenes)), pan=asdict(pan_scores(np.array(shares), steps))
    )
    with whole_file(options.out) as part:
        pan_figure(rows, classes, np.array(shares), steps).savefig(part, dpi=100)
    write_whole(options.out.with_suffix(".json"), json.dumps(scores, indent=2) + "\n")
    for name, values in scores.items():
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in values.items()))
    print(options.out)
