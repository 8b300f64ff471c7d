"""``prepare_data.py oracle``: what a model that sees everything and hears nothing can reach."""

import argparse

import numpy as np

from ..avs_dataset import SPLITS
from ..composed.composed_dataset import ComposedDataset
from ..composed.plan import SUBSETS
from ..composed.stamps import StampsDataset


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument("--subset", choices=SUBSETS, help="only this one; default: all")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--num-scenes", type=int, default=500)
    parser.add_argument("--num-objects", type=int, help="objects in a picture")
    parser.add_argument("--num-sounding", type=int, nargs="+", help="how many of them sound")
    parser.add_argument(
        "--data-root", help="folder with index.csv of a composed set; default: AVS-Stamps"
    )
    parser.add_argument("--plain-prob", type=float, help="share of photographs as they are")


def run(args: argparse.Namespace) -> None:
    """Print the mIoU of the oracle for each subset."""
    settings = dict(
        split=args.split,
        num_scenes=args.num_scenes,
        num_objects=args.num_objects,
        num_sounding=args.num_sounding,
        test_mode=True,
    )
    if args.plain_prob is not None:
        settings["plain_prob"] = args.plain_prob
    for subset in [args.subset] if args.subset else SUBSETS:
        scenes = (
            StampsDataset(subset=subset, **settings)
            if args.data_root is None
            else ComposedDataset(subset=subset, data_root=args.data_root, **settings)
        )
        config = scenes.scene_config
        sounding = " or ".join(map(str, config.num_sounding))
        print(
            f"{subset}: {sounding} of {config.num_objects} sound, {args.num_scenes} scenes "
            f"of {args.split}: mIoU {oracle_miou(scenes):.2f} (protocol: dataset)"
        )


def oracle_miou(scenes: ComposedDataset) -> float:
    """MIoU (%) of labelling every visible object with its true class, whether it sounds or not.

    Dataset protocol: intersections and unions summed over the set, the mean over all classes with
    background, 0 for a class that does not occur.
    """
    count = len(scenes.metainfo["classes"])
    confusion = np.zeros((count, count), dtype=np.int64)  # truth x prediction
    for index in range(len(scenes)):
        scene = scenes.compose(index, index)
        truth, prediction = scene["gt_seg_map"].astype(np.int64), scene["visible_map"]
        pairs = np.bincount((truth * count + prediction).ravel(), minlength=count**2)
        confusion += pairs.reshape(count, count)
    hits = np.diag(confusion)
    unions = confusion.sum(0) + confusion.sum(1) - hits
    return float(np.mean(hits / np.maximum(unions, 1)) * 100)
