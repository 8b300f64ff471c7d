"""What a camera and a room do to a clean photograph and a clean recording, as augmentation.

Photographs and studio recordings are cleaner than videos are: these transforms close some of the
gap. All draw from numpy's global state, which a data set seeds for each draw.
"""

import cv2
import numpy as np
import scipy
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ..constants import SAMPLE_RATE
from ..media.audio_functional import Waveform, root_mean_square

_PEAK = 0.99


@TRANSFORMS.register_module()
class DegradePicture(BaseTransform):
    """Lose detail as a video does: a lower resolution, blur, and compression, each by chance.

    Required and modified key: ``img``, (H, W, 3) uint8 BGR.

    Args:
        prob: Probability of each.
        smallest_scale: Lowest resolution, as a share of the picture's own.
        largest_sigma: Of the blur, px.
        quality: Lowest and highest quality of JPEG, 1 to 100.
    """

    def __init__(
        self,
        *,
        prob: float = 0.4,
        smallest_scale: float = 0.4,
        largest_sigma: float = 1.5,
        quality: tuple[int, int] = (15, 80),
    ) -> None:
        if not (
            0 <= prob <= 1 and 0 < smallest_scale <= 1 and 1 <= quality[0] <= quality[1] <= 100
        ):
            raise ValueError(
                f"prob={prob}, smallest_scale={smallest_scale}, quality={quality}: give shares "
                "from 0 to 1, and qualities from 1 to 100, rising."
            )
        self.prob, self.smallest_scale = prob, smallest_scale
        self.largest_sigma, self.quality = largest_sigma, quality

    def transform(self, results: dict) -> dict:
        image = results["img"]
        height, width = image.shape[:2]
        if np.random.random() < self.prob:
            scale = np.random.uniform(self.smallest_scale, 1)
            size = max(1, round(width * scale)), max(1, round(height * scale))
            small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        if np.random.random() < self.prob:
            image = cv2.GaussianBlur(image, (0, 0), np.random.uniform(0.1, self.largest_sigma))
        if np.random.random() < self.prob:
            quality = int(np.random.randint(self.quality[0], self.quality[1] + 1))
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        results["img"] = np.asarray(image, np.uint8)
        return results


@TRANSFORMS.register_module()
class DegradeSound(BaseTransform):
    """Hear as a camera does: its gain, a room's echo, a dull microphone, noise, each by chance.

    Required and modified key: ``waveform``, (A, L) float32 at 16 kHz.

    Args:
        prob: Probability of echo, of the low-pass and of noise; the gain always changes.
        gain_db: Largest change of the level, up or down, dB.
        reverberation: Shortest and longest time in which the echo falls by 60 dB, s.
        cutoff: Lowest and highest cut-off of the low-pass, Hz.
        snr_db: Lowest and highest ratio of the sound to the noise, dB.
    """

    def __init__(
        self,
        *,
        prob: float = 0.4,
        gain_db: float = 12.0,
        reverberation: tuple[float, float] = (0.1, 0.7),
        cutoff: tuple[float, float] = (2500.0, 7500.0),
        snr_db: tuple[float, float] = (5.0, 35.0),
    ) -> None:
        ranges = dict(reverberation=reverberation, cutoff=cutoff, snr_db=snr_db)
        if wrong := {name: pair for name, pair in ranges.items() if pair[0] > pair[1]}:
            raise ValueError(f"{wrong}: give the lower value first.")
        if not 0 <= prob <= 1 or reverberation[0] <= 0 or cutoff[0] <= 0:
            raise ValueError(
                f"prob={prob}, reverberation={reverberation}, cutoff={cutoff}: a probability from "
                "0 to 1, and times and frequencies above 0."
            )
        self.prob, self.gain_db = prob, gain_db
        self.reverberation, self.cutoff, self.snr_db = reverberation, cutoff, snr_db

    def transform(self, results: dict) -> dict:
        sound: Waveform = results["waveform"]
        if np.random.random() < self.prob:
            sound = reverberate(sound, np.random.uniform(*self.reverberation))
        if np.random.random() < self.prob:
            sound = low_pass(sound, np.random.uniform(*self.cutoff))
        if np.random.random() < self.prob:
            sound = add_noise(sound, np.random.uniform(*self.snr_db), np.random.uniform(0, 2))
        sound = sound * np.float32(10 ** (np.random.uniform(-self.gain_db, self.gain_db) / 20))
        peak = float(np.abs(sound).max())
        results["waveform"] = sound * np.float32(_PEAK / peak) if peak > _PEAK else sound
        return results


def reverberate(sound: Waveform, seconds: float) -> Waveform:
    """Add a room's echo, white noise that falls by 60 dB in ``seconds``, at the sound's level.

    The direct sound comes first, and the echo has as much energy as it; all channels share it.
    """
    time = np.arange(1, int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tail = np.random.standard_normal(len(time)) * 10 ** (-3 * time / seconds)
    response = np.concatenate([[1.0], tail / max(float(np.linalg.norm(tail)), 1e-12)])
    wet: Waveform = scipy.signal.fftconvolve(sound, response[None], axes=1)[:, : sound.shape[1]]
    wet = wet.astype(np.float32)
    return wet * np.float32(root_mean_square(sound) / max(root_mean_square(wet), 1e-12))


def low_pass(sound: Waveform, cutoff: float) -> Waveform:
    """Leave out what lies above ``cutoff``, Hz, falling by 24 dB an octave."""
    spectrum = np.fft.rfft(sound, axis=1)
    frequency = np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    gain = 1 / np.sqrt(1 + (frequency / cutoff) ** 8)
    return np.fft.irfft(spectrum * gain, sound.shape[1], axis=1).astype(np.float32)


def add_noise(sound: Waveform, snr_db: float, slope: float) -> Waveform:
    """Add noise whose power falls with the frequency to the power ``slope``: 0 white, 2 brown.

    Silence stays silent: there is no level to hold the noise against.
    """
    frequency = np.fft.rfftfreq(sound.shape[1], 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.standard_normal(sound.shape), axis=1)
    spectrum *= np.maximum(frequency, 20.0) ** (-slope / 2)
    noise = np.fft.irfft(spectrum, sound.shape[1], axis=1).astype(np.float32)
    level = root_mean_square(sound) * 10 ** (-snr_db / 20)
    return sound + noise * np.float32(level / max(root_mean_square(noise), 1e-12))
