"""Peak memory of segmenting a video of any length, with all that the demo writes."""

import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ..constants import SAMPLE_RATE
from ..inference import AVSInferencer
from ..inference.model_loading import build_bare, load_config
from ..media.audio_functional import Waveform
from ..media.video_writer import VideoWriter


@dataclass(frozen=True)
class Video:
    """A moving texture with noise for sound.

    Attributes:
        seconds: How long it is.
        size: Height and width.
        rate: Frames per second.
    """

    seconds: int
    size: tuple[int, int]
    rate: int


@dataclass(frozen=True)
class VideoMemory:
    """What segmenting a video took.

    Attributes:
        frames: That were segmented.
        seconds: From the call to the last file.
        peak_mib: Largest resident set of the process so far, MiB.
    """

    frames: int
    seconds: float
    peak_mib: float


def write_video(path: Path, video: Video) -> None:
    """Write it second by second, so that the writing does not grow with its length, either."""
    height, width = video.size
    generator = np.random.default_rng(0)
    texture = generator.integers(0, 256, (height // 8, 2 * width // 8, 3), dtype=np.uint8)
    texture = np.kron(texture, np.ones((8, 8, 1), np.uint8))

    def sound() -> Iterator[Waveform]:
        for _ in range(video.seconds):
            yield generator.normal(0, 0.1, (1, SAMPLE_RATE)).astype(np.float32)

    writer = VideoWriter(
        path, width=width, height=height, rate=Fraction(video.rate), sound=sound(),
        sample_rate=SAMPLE_RATE, channels=1,
    )  # fmt: skip
    for index in range(video.seconds * video.rate):
        left = index % width
        writer.write(texture[:, left : left + width], index / video.rate)
    writer.close(video.seconds)


def measure_video(config: str | None, video: Video, *, fps: float) -> VideoMemory:
    """Segment a video with masks, overlay with sound and report, by a model with random weights.

    A process's peak never goes down, so that each video wants a new process.

    Args:
        config: Name in configs/ or file; None is the built-in model's.
        video: What to write and to segment.
        fps: Frames per second that are segmented.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model_config = load_config(config)
        torch.manual_seed(0)
        torch.save(build_bare(model_config).state_dict(), folder / "random.pth")
        write_video(folder / "video.mp4", video)
        inferencer = AVSInferencer(model_config, folder / "random.pth")
        before = time.perf_counter()
        result = inferencer(
            folder / "video.mp4", out_dir=folder / "out", strip=True, fps=fps, keep_frames=False
        )
        took = time.perf_counter() - before
    assert not isinstance(result, list)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    return VideoMemory(result.num_frames, took, peak)
