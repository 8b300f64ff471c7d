"""Times parts of the toolbox on this machine.

    python tools/benchmark.py metrics --classes 71
    python tools/benchmark.py model configs/cpm_r50_avss.py configs/cpm_r50_s4-224.py

``metrics``: scoring frames under both protocols against loading them (JPEG frame, PNG mask).
``model``: predictions and training steps of several configs in turn, with random weights, and how
they compare to the first (Table 6). EM, which runs every few steps, is not among them.
"""

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from projects.cpm_avs.evaluation import AVSMetric
from projects.cpm_avs.inference.model_loading import find_device
from projects.cpm_avs.inference.preparation import Preparation
from projects.cpm_avs.launch import at_least, keep_freed_memory, plain_errors, read_config
from projects.cpm_avs.models import AVSegmentor

_DISTINCT = 16  # made frames, used in turn; the disk cache holds them, which favours loading


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=at_least(1), default=1000, help="frames to load and score")
    parser.add_argument("--size", type=at_least(1), default=224, help="height and width")
    parser.add_argument(
        "--classes", type=at_least(2), default=71, help="classes; 2 is a binary set"
    )
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


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configs", nargs="+", help="the first is what the others are compared to")
    parser.add_argument("--size", type=at_least(32), default=224, help="height and width")
    parser.add_argument("--batch", type=at_least(1), default=2, help="samples of a training step")
    parser.add_argument("--runs", type=at_least(1), default=10, help="timed runs of each")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.set_defaults(run=_run_model)


def _run_model(args: argparse.Namespace) -> int:
    keep_freed_memory()  # as in training
    configs = [read_config(config) for config in args.configs]
    find_device(args.device)
    models = [_build(cfg, args.device) for cfg in configs]
    rows: dict[str, list[list[float]]] = dict(prediction=[], training=[])
    for name, step, count in (("prediction", _predict, 1), ("training", _train, args.batch)):
        batches = [
            _batch(model, args.size, Preparation.from_config(cfg).num_samples, count)
            for (model, _), cfg in zip(models, configs, strict=True)
        ]
        rows[name] = [[] for _ in models]
        for turn in range(args.runs + 1):  # in turn: a slow moment hits all of them
            for times, trained, batch in zip(rows[name], models, batches, strict=True):
                fresh = copy.deepcopy(batch)  # a step writes into the samples
                seconds = _elapsed(partial(step, *trained, fresh), args.device)
                if turn:  # the first one warms up
                    times.append(seconds)
    for index, config in enumerate(args.configs):
        parts = []
        for name, taken in rows.items():
            pairs = zip(taken[index], taken[0], strict=True)
            ratio = statistics.median(own / first for own, first in pairs)
            parts.append(f"{name} {1000 * statistics.median(taken[index]):.0f} ms ({ratio:.2f} x)")
        frames = 1 / statistics.median(rows["prediction"][index])
        print(f"{config}: {frames:.1f} frames/s; median of {args.runs}: {', '.join(parts)}")
    return 0


def _build(cfg: Config, device: str) -> tuple[AVSegmentor, OptimWrapper]:
    """The config's model with random weights, and its optimiser."""
    init_default_scope(cfg.default_scope)
    MMLogger.get_current_instance().setLevel("ERROR")  # the optimiser lists all it treats apart
    for part in (cfg.model.backbone, cfg.model.audio_backbone):
        part.init_cfg = None
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(device)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def _batch(model: AVSegmentor, size: int, num_samples: int, count: int) -> dict:
    """Noise to see and to hear, with large regions that sound, as the data loader hands it over."""
    images, waveforms, samples = [], [], []
    foreground = model.decode_head.num_classes - 1
    for index in range(count):
        # A prompt for each class that sounds: three, and others in the next sample.
        regions = _made_sample(index, size, min(4, foreground + 1))["gt_sem_seg"]["data"]
        labels = torch.where(regions > 0, 1 + (regions - 1 + 3 * index) % foreground, 0)
        shape = (size, size)
        sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
        sample.gt_sem_seg = PixelData(data=labels)
        samples.append(sample)
        images.append(torch.randint(0, 256, (3, *shape), dtype=torch.uint8))
        waveforms.append(0.1 * torch.randn(model.audio_backbone.in_channels, num_samples))
    return dict(inputs=dict(img=images, waveform=waveforms), data_samples=samples)


def _predict(model: AVSegmentor, _: OptimWrapper, batch: dict) -> None:
    model.eval()
    with torch.no_grad():
        model.test_step(batch)


def _train(model: AVSegmentor, optimiser: OptimWrapper, batch: dict) -> None:
    model.train()
    model.train_step(batch, optimiser)


def _elapsed(step: Callable[[], object], device: str) -> float:
    """Seconds of the wall clock, with all that the device does for this step and nothing else."""
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    synchronize()
    start = time.perf_counter()
    step()
    synchronize()
    return time.perf_counter() - start


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
    _add_model(commands.add_parser("model", help="frames per second and training steps"))
    args = parser.parse_args()
    return int(args.run(args))


if __name__ == "__main__":
    with plain_errors():
        sys.exit(main())
