"""Times parts of the toolbox on this machine.

    python tools/benchmark.py metrics --classes 71

``metrics``: scoring frames under both protocols against loading them (JPEG frame, PNG mask).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from projects.cpm_avs.evaluation import AVSMetric

_DISTINCT = 16  # made frames, used in turn; the disk cache holds them, which favours loading


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=int, default=1000, help="frames to load and score")
    parser.add_argument("--size", type=int, default=224, help="height and width")
    parser.add_argument("--classes", type=int, default=71, help="classes; 2 is a binary set")
    parser.set_defaults(run=_run_metrics)


def _run_metrics(args: argparse.Namespace) -> int:
    torch.set_num_threads(1)
    metric = AVSMetric()
    metric.dataset_meta = dict(classes=[f"class {i}" for i in range(args.classes)])
    samples = [_made_sample(seed, args.size, args.classes) for seed in range(_DISTINCT)]

    with tempfile.TemporaryDirectory() as folder:
        for i, sample in enumerate(samples):
            _write(Path(folder), i, sample["gt_sem_seg"]["data"][0].numpy())
        loading = _seconds(args.frames, lambda i: _load(Path(folder), i % _DISTINCT))
    scoring = _seconds(args.frames, lambda i: metric.process({}, [samples[i % _DISTINCT]]))

    print(f"{args.frames} frames of {args.size}x{args.size}, {args.classes} classes:")
    print(f"  loading {loading:.3f} s, scoring (both protocols) {scoring:.3f} s of CPU")
    return 0


def _made_sample(seed: int, size: int, num_classes: int) -> dict:
    """A prediction and a truth of large regions, as a metric gets them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(2, num_classes, 8, 8, generator=generator)
    pred, truth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    sample = SegDataSample(metainfo=dict(source=("ss", "ms")[seed % 2], frame_index=seed))
    sample.pred_sem_seg = PixelData(data=pred.argmax(0, keepdim=True))
    sample.gt_sem_seg = PixelData(data=truth.argmax(0, keepdim=True))
    if num_classes == 2:
        sample.seg_logits = PixelData(data=pred)
    return sample.to_dict()


def _write(folder: Path, index: int, mask: np.ndarray) -> None:
    """The mask as PNG, and a JPEG frame with its regions and some texture."""
    Image.fromarray(mask.astype(np.uint8)).save(folder / f"{index}.png")
    texture = np.random.default_rng(index).normal(0, 8, (*mask.shape, 3))
    frame = (mask[..., None] * np.array([37, 59, 83])) % 200 + 28 + texture
    Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.jpg", quality=90)


def _load(folder: Path, index: int) -> tuple[np.ndarray, np.ndarray]:
    frame = np.asarray(Image.open(folder / f"{index}.jpg").convert("RGB"))
    return frame, np.asarray(Image.open(folder / f"{index}.png"))


def _seconds(count: int, step: Callable[[int], object]) -> float:
    """CPU time of ``count`` steps on one thread, after a few that warm up."""
    for i in range(_DISTINCT):
        step(i)
    start = time.process_time()
    for i in range(count):
        step(i)
    return time.process_time() - start


def main() -> int:
    """Run one subcommand; exit status 0 if it ran through."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _add_metrics(commands.add_parser("metrics", help="scoring against loading"))
    args = parser.parse_args()
    return int(args.run(args))


if __name__ == "__main__":
    sys.exit(main())
