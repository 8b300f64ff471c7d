"""Registered transforms that only the published benchmarks need."""

from mmcv.transforms import BaseTransform
from mmseg.datasets.transforms import Resize
from mmseg.registry import TRANSFORMS

from ...constants import SAMPLE_RATE
from ...errors import PICTURE_ALONE, BadSampleError
from ...media.audio_functional import Waveform, cut_window, mix, pan_stereo
from ...media.sound_io import load_waveform


@TRANSFORMS.register_module()
class LoadSoundMix(BaseTransform):
    """Load the sounds of a VPO image as ``waveform`` (A, L), each in its place, and sum them.

    Every sound is brought to 16 kHz and cut to its middle, or repeated where it is shorter.

    Required keys: ``sounds``, a list of (path, position from 0 left to 1 right or None, file to
    read for two channels or None).

    Args:
        num_samples: L, the window's length in samples.
        channels: A, 1 mono or 2 stereo.
        sample_rate: Hz.
    """

    def __init__(
        self, *, num_samples: int = 48000, channels: int = 1, sample_rate: int = SAMPLE_RATE
    ) -> None:
        self.num_samples, self.channels, self.sample_rate = num_samples, channels, sample_rate

    def transform(self, results: dict) -> dict:
        if "sounds" not in results:
            raise ValueError(PICTURE_ALONE)
        results["waveform"] = mix([self._load(*sound) for sound in results["sounds"]])
        results["sample_rate"] = self.sample_rate
        return results

    def _load(self, path: str, position: float | None, stereo_path: str | None) -> Waveform:
        if self.channels == 1:
            return self._middle(path, channels=1)
        if position is not None:
            if not 0 <= position <= 1:
                raise BadSampleError(
                    path,
                    f"its audio_pos in the index is {position}, no number from 0 (left) to 1 "
                    "(right)",
                    "tools/prepare_data.py check names the line of the index",
                )
            return pan_stereo(self._middle(path, channels=1), position)
        return self._middle(stereo_path or path, channels=2)

    def _middle(self, path: str, *, channels: int) -> Waveform:
        waveform = load_waveform(path, sample_rate=self.sample_rate, channels=channels)
        return cut_window(waveform, (waveform.shape[1] - self.num_samples) // 2, self.num_samples)


@TRANSFORMS.register_module()
class ResizeForProtocol(Resize):
    """mmseg's ``Resize`` after which the new size counts as the original one.

    So the 224 protocol scores at 224x224 as the benchmark's scripts do, and not at the size of the
    stored frames. The aspect ratio is not kept. Pillow resizes, as in those scripts; OpenCV's
    nearest neighbour is the upper left one, which shifts masks against their frames.

    Args:
        scale: Width and height in pixels.
    """

    def __init__(self, *, scale: tuple[int, int] = (224, 224)) -> None:
        super().__init__(scale=scale, keep_ratio=False, backend="pillow")

    def transform(self, results: dict) -> dict:
        results = super().transform(results)
        results["ori_shape"] = results["img_shape"]
        return results
