"""Draw what training sees and hears: augmented pictures, labels, sounds and the classes that sound.

    cpm-avs browse-dataset cpm_r50_avss --output-dir browsed --not-show --num 16

The options are those of MMSegmentation's tools/analysis_tools/browse_dataset.py, and --num. The
samples are the first that training draws with the config's seed, as the pipeline of the training
set makes them; a file's name begins with the number of the draw. Of a clip all frames are drawn.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from typing import Any

import mmcv
import numpy as np
from mmengine.config import Config
from mmseg.registry import DATA_SAMPLERS
from mmseg.structures import SegDataSample
from torch.utils.data import Sampler

from ..files import whole_file
from ..launch import (
    add_cfg_options,
    at_least,
    build_dataset,
    built_from,
    output_folder,
    read_config,
)
from ..visualization import AVSLocalVisualizer
from ..visualization.drawing import Picture
from ..visualization.training_sample import draw_training_sample
from ..visualization.visualization_hook import frame_name


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("--output-dir", type=output_folder, help="folder for the pictures")
    parser.add_argument("--not-show", action="store_true", help="open no window")
    parser.add_argument(
        "--show-interval",
        type=at_least(0.0),
        default=2.0,
        help="seconds a picture is shown (default: %(default)s)",
    )
    parser.add_argument(
        "--num", type=at_least(1), default=16, help="samples to draw (default: %(default)s)"
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    no_window = args.not_show or (sys.platform == "linux" and not os.environ.get("DISPLAY"))
    if no_window and args.output_dir is None:
        parser.error("no window can be opened or is wanted: name a folder by --output-dir")
    args.show = not no_window
    return args


def drawn_samples(cfg: Config, num: int) -> Iterator[tuple[int, dict[str, Any], list[str]]]:
    """Number of the draw, packed sample and names of the classes, in the order of training."""
    dataset = build_dataset(cfg, "train_dataloader")
    seed = cfg.get("randomness", {}).get("seed") or 0
    with built_from(cfg):
        sampler = DATA_SAMPLERS.build(
            cfg.train_dataloader.sampler, default_args=dict(dataset=dataset, seed=seed)
        )
    for number, index in enumerate(itertools.islice(_draws(sampler), num)):
        item = dataset[index]
        for packed in item if isinstance(item, list) else [item]:
            yield number, packed, list(dataset.metainfo["classes"])


def _draws(sampler: Sampler) -> Iterator[int]:
    """Epoch after epoch; for a run that counts in iterations the first never ends."""
    for epoch in itertools.count():
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch)
        yield from sampler


def what_sounds(sample: SegDataSample, classes: list[str]) -> str:
    """Names of the classes, also of those whose objects a crop left out."""
    seen = set(sample.gt_sem_seg.data.unique().tolist()) if "gt_sem_seg" in sample else set()
    heard = sample.get("sound_classes") or []
    names = [classes[k] + ("" if k in seen else " (cropped away)") for k in heard]
    return f"sounds: {', '.join(names) or 'no object'}"


def draw(packed: dict[str, Any], classes: list[str]) -> Picture:
    """The picture of one packed sample."""
    inputs, sample = packed["inputs"], packed["data_samples"]
    labels = sample.gt_sem_seg.data[0].numpy() if "gt_sem_seg" in sample else None
    sounds = {what_sounds(sample, classes): inputs["waveform"].numpy()}
    if "noise_waveform" in inputs:
        sounds["off-screen noise"] = inputs["noise_waveform"].numpy()
    picture = np.ascontiguousarray(inputs["img"].numpy()[::-1].transpose(1, 2, 0))
    return draw_training_sample(picture, labels, sounds, classes)


def main(argv: list[str] | None = None) -> None:
    """Draw as the command line says."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options)
    visualizer = AVSLocalVisualizer()
    for number, packed, classes in drawn_samples(cfg, args.num):
        drawn = draw(packed, classes)
        name = f"{number:04d}_{frame_name(packed['data_samples'])}"
        if args.output_dir is not None:
            path = args.output_dir / f"{name}.png"
            with whole_file(path) as part:
                mmcv.imwrite(mmcv.rgb2bgr(drawn), str(part))
            print(path)
        if args.show:
            visualizer.show(drawn, win_name=name, wait_time=args.show_interval)
