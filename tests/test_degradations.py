"""What a camera and a room do, on made pictures and tones."""

import numpy as np
import pytest

from projects.cpm_avs.datasets.degradations import (
    DegradePicture,
    DegradeSound,
    add_noise,
    low_pass,
    reverberate,
)
from projects.cpm_avs.datasets.seeding import seeded

TIME = np.arange(16000) / 16000


def tone(hertz: float) -> np.ndarray:
    return 0.1 * np.sin(2 * np.pi * hertz * TIME, dtype=np.float32)[None]


def level(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))


@pytest.mark.parametrize(("hertz", "decibels"), [(500, 0.0), (4000, -3.01), (6400, -16.43)])
def test_low_pass_has_the_gain_of_its_formula(hertz, decibels):
    # 10 log10(1 + (f / 4000)^8): 0, 3.01 and, at 6,400 Hz, 16.4 dB.
    found = 20 * np.log10(level(low_pass(tone(hertz), 4000)) / level(tone(hertz)))
    assert found == pytest.approx(decibels, abs=0.3)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_noise_has_the_wanted_ratio_and_slope(slope):
    with seeded(1):
        noise = add_noise(tone(1000), 20, slope) - tone(1000)
    assert 20 * np.log10(level(tone(1000)) / level(noise)) == pytest.approx(20, abs=0.01)
    power = np.abs(np.fft.rfft(noise[0])) ** 2
    low, high = power[400:600].mean(), power[4000:6000].mean()
    assert np.log(low / high) / np.log(10) == pytest.approx(slope, abs=0.2)


def test_silence_stays_silent():
    silence = np.zeros((2, 4000), np.float32)
    with seeded(1):
        assert not np.any(add_noise(silence, 20, 1.0)) and not np.any(reverberate(silence, 0.3))


def test_an_echo_comes_after_the_sound_and_keeps_its_level():
    click = np.zeros((1, 16000), np.float32)
    click[0, 4000] = 0.5
    with seeded(1):
        heard = reverberate(click, 0.4)
    assert np.abs(heard[0, :3999]).max() < 1e-6
    assert level(heard) == pytest.approx(level(click), rel=1e-3)
    # Direct sound and echo have the same energy; after 0.4 s the echo is 60 dB down.
    assert heard[0, 4000] == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    early, late = level(heard[0, 4001:4400]), level(heard[0, 10000:10400])
    assert 20 * np.log10(early / late) == pytest.approx(60 * 6000 / 6400, abs=6)


def test_pictures_lose_detail_and_keep_their_size():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    with seeded(2):
        changed = DegradePicture(prob=1.0)(dict(img=image.copy()))["img"]
    assert changed.shape == image.shape and changed.dtype == np.uint8
    assert changed.astype(float).std() < 0.7 * image.astype(float).std()
    with seeded(2):
        assert np.array_equal(DegradePicture(prob=1.0)(dict(img=image.copy()))["img"], changed)
        assert np.array_equal(DegradePicture(prob=0.0)(dict(img=image.copy()))["img"], image)


def test_sounds_change_within_their_bounds():
    clip = np.concatenate([tone(300), tone(3000)])
    for seed in range(20):
        with seeded(seed):
            heard = DegradeSound(prob=0.5)(dict(waveform=clip))["waveform"]
        assert heard.shape == clip.shape and heard.dtype == np.float32
        assert np.abs(heard).max() <= 0.99 + 1e-6
        assert -13.5 < 20 * np.log10(level(heard) / level(clip)) < 13.5
    with seeded(3):
        unchanged = DegradeSound(prob=0.0, gain_db=0.0)(dict(waveform=clip))["waveform"]
    np.testing.assert_allclose(unchanged, clip)


def test_wrong_ranges_are_refused():
    with pytest.raises(ValueError, match="snr_db.*lower value first"):
        DegradeSound(snr_db=(20, 10))
    with pytest.raises(ValueError, match=r"quality=\(0, 50\)"):
        DegradePicture(quality=(0, 50))
