"""Off-screen noise for audio prompting, from a folder of sound files (the paper's set D_r)."""

from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..media.audio_functional import PYAV_SUFFIXES, cut_window, load_waveform

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".opus", *PYAV_SUFFIXES)


@TRANSFORMS.register_module()
class LoadOffscreenNoise(BaseTransform):
    """Add a random window of a random file as ``noise_waveform`` (A, L), as long as ``waveform``.

    Goes anywhere between the loading of the sound and ``PackAVSInputs``. Without it, ACP takes
    its noise from other samples of the batch.

    Args:
        folder: Searched for sound files, subfolders included.
    """

    def __init__(self, *, folder: str) -> None:
        files = [path for path in Path(folder).rglob("*") if path.suffix.lower() in SUFFIXES]
        if not files:
            raise ValueError(
                f"{folder} holds no sound files ({', '.join(SUFFIXES)}); name another folder, or "
                "leave LoadOffscreenNoise out to take noise from the batch"
            )
        self.files = sorted(files)

    def transform(self, results: dict) -> dict:
        channels, length = results["waveform"].shape
        path = self.files[np.random.randint(len(self.files))]
        noise = load_waveform(path, sample_rate=results["sample_rate"], channels=channels)
        start = np.random.randint(max(noise.shape[1] - length, 0) + 1)
        results["noise_waveform"] = cut_window(noise, start, length)
        return results
