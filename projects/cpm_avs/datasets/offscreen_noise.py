"""Off-screen noise for audio prompting, from a folder of sound files (the paper's set D_r)."""

import logging
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.logging import print_log
from mmseg.registry import TRANSFORMS

from ..errors import BadSampleError
from ..media.audio_functional import cut_window
from ..media.kinds import kind_of, visible
from ..media.sound_io import load_waveform


@TRANSFORMS.register_module()
class LoadOffscreenNoise(BaseTransform):
    """Add a random window of a random file as ``noise_waveform`` (A, L), as long as ``waveform``.

    Goes anywhere between the loading of the sound and ``PackAVSInputs``. Without it, ACP takes
    its noise from other samples of the batch.

    Args:
        folder: Searched for sound files, subfolders included.
    """

    def __init__(self, *, folder: str) -> None:
        below = sorted(path for path in visible(Path(folder).rglob("*")) if path.is_file())
        self.files = [path for path in below if _sounds(path)]
        if len(self.files) < len(below):
            silent = next(path for path in below if path not in self.files)
            print_log(
                f"{len(below) - len(self.files)} of {len(below)} files below {folder} are left out "
                f"as they hold no sound, the first is {silent}",
                "current",
                logging.WARNING,
            )
        if not self.files:
            raise ValueError(
                f"{folder} holds no file with sound; name another folder, or leave "
                "LoadOffscreenNoise out to take noise from the batch"
            )

    def transform(self, results: dict) -> dict:
        channels, length = results["waveform"].shape
        path = self.files[np.random.randint(len(self.files))]
        noise = load_waveform(path, sample_rate=results["sample_rate"], channels=channels)
        start = np.random.randint(max(noise.shape[1] - length, 0) + 1)
        results["noise_waveform"] = cut_window(noise, start, length)
        return results


def _sounds(path: Path) -> bool:
    try:
        return kind_of(path) != "picture"
    except BadSampleError:
        return False
