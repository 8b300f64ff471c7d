"""Short videos to try the model on, composed of AVS-Stamps."""

from fractions import Fraction
from pathlib import Path

import numpy as np

from ..datasets.composed.clip import compose_clip
from ..datasets.composed.stamps import StampsDataset
from ..files import whole_file
from ..media.audio_functional import resample
from ..media.video_writer import VideoWriter

_SOUND_RATE = 48000  # browsers play every rate of AAC but not all of them well


def write_example(
    path: Path, *, seed: int, subset: str = "ms", seconds: float = 6.0, size: int = 256
) -> Path:
    """Write a clip in which the objects of one scene take turns to sound.

    Args:
        path: An mp4 to write.
        seed: Which clip.
        subset: How many objects there are and how many sound, as in ``StampsDataset``.
        seconds: Its length.
        size: Side of the frames, pixels, even.
    """
    scenes = StampsDataset(
        subset=subset,
        split="test",
        num_scenes=1,
        image_size=size,
        num_channels=2,
        seed=seed,
        pipeline=[],
    )
    clip = compose_clip(scenes, seconds=seconds, fps=12)
    with whole_file(path) as part:
        writer = VideoWriter(
            part,
            width=size,
            height=size,
            rate=Fraction(12),
            sound=iter([resample(clip.waveform, clip.sample_rate, _SOUND_RATE)]),
            sample_rate=_SOUND_RATE,
            channels=2,
        )
        try:
            for index, frame in enumerate(clip.frames):
                writer.write(np.ascontiguousarray(frame[..., ::-1]), index / 12)
            writer.close(seconds)
        except OSError:
            writer.abort()
            raise
    return path
