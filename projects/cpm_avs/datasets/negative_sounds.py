"""Sounds with which nothing in the picture sounds: silence, noise and what is off-screen."""

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..constants import IGNORE_INDEX
from ..media.audio_functional import Waveform

#: After AVSBench-Robust (arXiv 2502.00358).
NEGATIVE_SOUNDS = ("silence", "noise", "offscreen")
#: Level of the noise that stands in for a clip which is silent itself.
_NOISE_FLOOR = 0.01


def without_objects(
    waveform: Waveform, sound: str, rng: np.random.Generator | np.random.RandomState
) -> Waveform:
    """Silence, or white noise as loud as a clip, in place of the clip.

    Args:
        waveform: The clip, (A, L) float32.
        sound: 'silence' or 'noise'.
        rng: Of the noise.
    """
    if sound == "silence":
        return np.zeros_like(waveform)
    level = max(float(np.sqrt(np.mean(np.square(waveform)))), _NOISE_FLOOR)
    noise = level * rng.standard_normal(waveform.shape)
    return noise.astype(waveform.dtype)


@TRANSFORMS.register_module()
class RandomNegativeSound(BaseTransform):
    """Load a frame's sound or, with a probability, a negative one, with which the mask is empty.

    For training: what is seen does not tell what sounds. It stands in the place of the transform
    that loads the sound, behind ``LoadAVSMask``. Each negative sound is as likely as the others.
    Where no item of the set is foreign to what the picture shows, silence takes the place of the
    off-screen sound. ``audio_condition`` names the sound that was taken; pixels that are ignored
    stay so.

    Required keys: those of ``load``, ``sound_set`` from ``AVSDataset``, ``gt_seg_map``.

    Args:
        load: Config of the transform that loads the sound.
        prob: Probability of a negative sound.
        sounds: Which of 'silence', 'noise' (white, as loud as the clip) and 'offscreen' (of another
            item, which has no class in common with what is known to be in the picture) to take.
    """

    def __init__(
        self, *, load: dict, prob: float = 0.25, sounds: Sequence[str] = NEGATIVE_SOUNDS
    ) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob={prob} is no probability, which is from 0 to 1.")
        if isinstance(sounds, str) or not sounds or not set(sounds) <= set(NEGATIVE_SOUNDS):
            raise ValueError(f"sounds={sounds!r} must be taken from {NEGATIVE_SOUNDS}.")
        self.load = TRANSFORMS.build(load)
        self.prob, self.sounds = prob, tuple(sounds)
        for name in ("num_samples", "channels"):  # compared with the model, where the transform
            if hasattr(self.load, name):  # says it; of scenes that are composed, the data set does
                setattr(self, name, getattr(self.load, name))

    def transform(self, results: dict) -> dict:
        if "gt_seg_map" not in results and results.get("seg_map_path") is not None:
            raise ValueError(
                "RandomNegativeSound empties the mask, which is not loaded yet; put it behind "
                "LoadAVSMask."
            )
        if np.random.random() >= self.prob:
            return self.load(results)
        sound = self.sounds[np.random.randint(len(self.sounds))]
        if sound == "offscreen":
            dataset = results["sound_set"]
            donor = dataset.foreign_entry(results, np.random.permutation(len(dataset)))
            sound = "silence" if donor is None else sound
            results.update({key: donor[key] for key in dataset.AUDIO_KEYS} if donor else {})
        results = self.load(results)
        if sound != "offscreen":
            rng = np.random.RandomState(np.random.randint(2**31))
            results["waveform"] = without_objects(results["waveform"], sound, rng)
        if "gt_seg_map" in results:
            mask = results["gt_seg_map"]
            results["gt_seg_map"] = np.where(mask == IGNORE_INDEX, mask, np.zeros_like(mask))
        results.update(audio_condition=sound, sound_classes=[])
        return results
