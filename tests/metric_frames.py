"""Made predictions, and scoring them as MMEngine's test loop does, on any number of ranks."""

import json
import os
from pathlib import Path

import torch
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import METRICS
from mmseg.structures import SegDataSample

import projects.cpm_avs.evaluation  # noqa: F401  (registers the metrics)


def make_frame(pred, label, scores=None, **meta) -> SegDataSample:
    """A frame as the segmentor hands it to a metric; ``scores`` are (2, H, W)."""
    sample = SegDataSample(metainfo=dict(img_path="frame.jpg") | meta)
    sample.pred_sem_seg = PixelData(data=torch.as_tensor(pred)[None])
    sample.gt_sem_seg = PixelData(data=torch.as_tensor(label)[None])
    if scores is not None:
        sample.seg_logits = PixelData(data=torch.as_tensor(scores))
    return sample


def object_frame(prob, label, **meta) -> SegDataSample:
    """A frame of a binary set with p = ``prob``; the scores do not add up to 1."""
    prob = torch.as_tensor(prob, dtype=torch.float64)
    scores = torch.stack([1 - prob, prob]) * 0.5
    return make_frame((prob > 0.5).long(), label, scores, **meta)


def random_frames(count: int, num_classes: int, clip_length: int = 5) -> list[SegDataSample]:
    """Frames of 8x8 in clips, with silent frames, ignored pixels and two sources."""
    generator = torch.Generator().manual_seed(count)
    frames = []
    for i in range(count):
        label = torch.randint(0, num_classes, (8, 8), generator=generator)
        if i % 4 == 3:
            label.zero_()
        label[torch.rand(8, 8, generator=generator) < 0.1] = 255
        scores = torch.rand(num_classes, 8, 8, generator=generator, dtype=torch.float64)
        clip = i // clip_length
        meta = dict(
            clip_id=f"clip{clip}", frame_index=i % clip_length, source=("ss", "ms")[clip % 2]
        )
        frames.append(make_frame(scores.argmax(0), label, scores, **meta))
    return frames


def score(
    frames: list[SegDataSample], num_classes: int, batch_size: int = 1, **metric
) -> dict[str, float]:
    """Process what the sampler gives this rank, and evaluate, as the test loop does."""
    evaluator = Evaluator(METRICS.build(dict(type="mmseg.AVSMetric") | metric))
    evaluator.dataset_meta = dict(classes=tuple(f"class{i}" for i in range(num_classes)))
    mine = list(DefaultSampler(frames, shuffle=False, seed=0))
    for start in range(0, len(mine), batch_size):
        evaluator.process([frames[i] for i in mine[start : start + batch_size]])
    return evaluator.evaluate(len(frames))


def score_as_rank(rank: int, world: int, folder: str, jobs: list[tuple]) -> None:
    """Entry of one rank; it leaves the results of all jobs in ``folder``."""
    os.chdir(folder)  # MMEngine collects results in a folder below this one
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous{world}", rank=rank, world_size=world
    )
    results = [
        score(random_frames(count, num_classes), num_classes, batch_size, **metric)
        for count, num_classes, batch_size, metric in jobs
    ]
    Path(folder, f"rank{rank}_of_{world}.json").write_text(json.dumps(results))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
