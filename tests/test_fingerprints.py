"""Near-duplicates among photographs and recordings: found where they are, and nowhere else."""

import io

import cv2
import numpy as np
import pytest
import soundfile
import soxr
from compose_sources import RATE, picture, save, save_sound, sound

from projects.cpm_avs.datasets.composing import photo_fingerprint as photos
from projects.cpm_avs.datasets.composing import sound_fingerprint as sounds
from projects.cpm_avs.errors import BadSampleError


def test_a_bit_says_whether_the_right_neighbour_is_brighter(tmp_path):
    ramp = np.tile(np.arange(0, 255, 15, dtype=np.uint8), (16, 1))  # 17 columns
    path = save(tmp_path / "ramp.png", ramp)
    whole = np.uint64(2**64 - 1)
    assert photos.photo_fingerprint(path).tolist() == [[whole] * 4, [0] * 4]
    ramp[3, 5] = 0  # darker than the one before it; the one after it stays brighter
    own = photos.photo_fingerprint(save(tmp_path / "dent.png", ramp))[0]
    bits = np.unpackbits(own.view(np.uint8)).reshape(16, 16)
    assert np.argwhere(bits == 0).tolist() == [[3, 4]]


def test_pairs_are_those_of_a_loop(monkeypatch):
    monkeypatch.setattr(photos, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, (40, 2, 4)).astype(np.uint64)
    for number, flips in ((3, 26), (17, 27), (30, 0)):  # like photograph 1, the last as its mirror
        bits = np.unpackbits(hashes[1, int(number == 30)].view(np.uint8))
        bits[rng.permutation(256)[:flips]] ^= 1
        hashes[number, 0] = np.packbits(bits).view(np.uint64)
    hashes[1, 1], hashes[30, 1] = hashes[30, 0], hashes[1, 0]

    def distance(one: np.ndarray, other: np.ndarray) -> int:
        return sum(bin(int(a) ^ int(b)).count("1") for a, b in zip(one, other, strict=True))

    wanted = [
        (i, j)
        for i in range(40)
        for j in range(i + 1, 40)
        if min(distance(hashes[i, 0], hashes[j, side]) for side in (0, 1)) <= 26
    ]
    assert sorted(photos.near_photos([*hashes])) == wanted == [(1, 3), (1, 30), (3, 30)]
    assert [*photos.near_photos([])] == []


def changed(image: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "mirrored": image[:, ::-1],
        "small": cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "large": cv2.resize(image, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC),
        "bright": cv2.convertScaleAbs(image, alpha=0.8, beta=40),
        "grey": cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
    }


def test_changed_photographs_are_found_and_others_are_not(tmp_path):
    files = [save(tmp_path / f"{seed}.png", picture(seed)) for seed in range(30)]
    files += [save(tmp_path / f"{name}.png", one) for name, one in changed(picture(4)).items()]
    files.append(save(tmp_path / "coded.jpg", picture(4), cv2.IMWRITE_JPEG_QUALITY, 30))
    copies = [4, *range(30, len(files))]
    pairs = set(photos.near_photos([photos.photo_fingerprint(path) for path in files]))
    assert pairs == {(i, j) for i in copies for j in copies if i < j}


def test_a_cutout_lies_on_grey(tmp_path):
    image = np.dstack([picture(1), np.full((120, 160), 255, np.uint8)])
    image[:, :80, 3] = 0
    on_grey = image[..., :3].copy()
    on_grey[:, :80] = 128
    hashes = [
        photos.photo_fingerprint(save(tmp_path / f"{i}.png", one))
        for i, one in enumerate((image, on_grey))
    ]
    assert np.array_equal(*hashes)


def test_a_picture_that_cant_be_read_is_named(tmp_path):
    (tmp_path / "dog.jpg").write_bytes(b"no picture")
    with pytest.raises(BadSampleError, match=r"dog\.jpg: the picture can't be read"):
        photos.photo_fingerprint(tmp_path / "dog.jpg")


def score(one: np.ndarray, other: np.ndarray) -> float:
    size = sounds.num_bins(max(len(one), len(other)))
    both = [sounds.whiten(np.asarray(x, np.float32), size) for x in (one, other)]
    return sounds.sound_score(*both)


def test_whitening_levels_the_spectrum():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(16000)
    coloured = np.convolve(noise, [1, 0.9, 0.7, 0.4], "same").astype(np.float32)
    size = sounds.num_bins(16000)
    bands = [
        np.square(np.abs(np.fft.rfft(x))).reshape(-1)[1:8001].reshape(8, 1000).mean(1)
        for x in (coloured, sounds.whiten(coloured, size).white)
    ]
    assert bands[0].max() > 30 * bands[0].min() and bands[1].max() < 1.3 * bands[1].min()


def test_the_score_is_that_of_a_loop_over_all_lags():
    rng = np.random.default_rng(1)
    common = rng.standard_normal(300)
    one = np.concatenate([rng.standard_normal(90) * 0.5, common]).astype(np.float32)
    other = np.concatenate([common, rng.standard_normal(50)]).astype(np.float32)
    other += 0.3 * rng.standard_normal(350).astype(np.float32)
    size = sounds.num_bins(390)
    white = [sounds.whiten(x, size).white.astype(np.float64) for x in (one, other)]

    def overlap(lag: int, pair: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        places = [t for t in range(350) if 0 <= t + lag < 390]
        return pair[0][[t + lag for t in places]], pair[1][places]

    def dot(lag: int) -> float:
        a, b = overlap(lag, white)
        return abs(float((a * b).sum()))

    lag = max(range(-349, 390), key=dot)
    assert lag == 90
    cosines = [
        abs((a * b).sum()) / np.sqrt((a * a).sum() * (b * b).sum())
        for a, b in (overlap(lag, white), overlap(lag, [one, other]))
    ]
    assert score(one, other) == pytest.approx(np.sqrt(np.prod(cosines)), abs=1e-4)
    assert 0.8 < score(one, other) < 0.98
    assert score(other, one) == pytest.approx(score(one, other), abs=1e-4)


def test_the_score_of_itself_is_one_whatever_the_gain_and_sign():
    one = sound(1)
    assert score(one, one) == pytest.approx(1, abs=1e-5)
    assert score(one, -0.01 * one) == pytest.approx(1, abs=1e-4)


def test_little_in_common_is_nothing_in_common():
    rng = np.random.default_rng(2)
    one, other, common = (rng.standard_normal(8000) for _ in range(3))
    long = np.concatenate([one, common[:4000]]), np.concatenate([common[:4000], other])
    assert score(*long) > 0.9  # a third of both
    short = np.concatenate([one, common[:1500]]), np.concatenate([common[:1500], other])
    assert score(*short) == 0  # 16 %
    assert score(one, other) == 0


def coded(samples: np.ndarray, kind: str) -> np.ndarray:
    stream = io.BytesIO()
    soundfile.write(stream, samples, RATE, format=kind)
    stream.seek(0)
    return soundfile.read(stream)[0]


def tone(seed: int) -> np.ndarray:
    """One key of an instrument, struck in another way each time: partials and decays differ."""
    rng = np.random.default_rng(seed)
    time = np.arange(2 * RATE) / RATE
    partials = [
        rng.uniform(0.1, 1)
        * np.exp(-time * rng.uniform(1, 6))
        * np.sin(2 * np.pi * 220 * k * (1 + rng.normal(0, 3e-4)) * time + rng.uniform(0, 6.28))
        for k in range(1, 12)
    ]
    return 0.1 * np.sum(partials, axis=0) + 1e-3 * rng.standard_normal(len(time))


def test_changed_recordings_are_found_and_others_are_not(tmp_path):
    one = sound(3, 2.0)
    resampled = soxr.resample(soxr.resample(one, RATE, 14000), 14000, RATE)
    copies = [one, 0.2 * one, one[5000:], np.pad(one, (3000, 0)), resampled]
    copies += [coded(one, "OGG"), coded(one, "MP3")]
    rng = np.random.default_rng(4)
    others = [sound(seed, 2.0) for seed in range(10, 20)] + [tone(seed) for seed in range(6)]
    others += [rng.standard_normal(2 * RATE) * 0.1 for _ in range(4)]  # of equal spectra
    paths = [save_sound(tmp_path / f"{i}.wav", x) for i, x in enumerate([*copies, *others])]
    prints = [sounds.sound_fingerprint(path) for path in paths]
    number = len(copies)
    assert set(sounds.near_sounds(prints)) == {
        (i, j) for i in range(number) for j in range(i + 1, number)
    }
    compared = set(sounds.like_spectra(prints))
    assert len(compared) < 0.5 * len(paths) ** 2 / 2
    assert (len(paths) - 2, len(paths) - 1) in compared and [*sounds.near_sounds([])] == []


def test_recordings_are_compared_whose_mean_spectra_are_alike(tmp_path, monkeypatch):
    """Bhattacharyya's coefficient of (1/2, 1/2) and (1/4, 3/4): sqrt(1/8) + sqrt(3/8) = 0.966."""
    spectra = [np.sqrt([0.5, 0.5]), np.sqrt([0.25, 0.75]), np.array([1.0, 0.0])]
    prints = [sounds.SoundFingerprint("", 1, one.astype(np.float32)) for one in spectra]
    monkeypatch.setattr(sounds, "_BLOCK", 2)
    for limit, pairs in ((0.965, [(0, 1)]), (0.967, []), (0.7, [(0, 1), (0, 2)])):
        monkeypatch.setattr(sounds, "MIN_LIKENESS", limit)
        assert [*sounds.like_spectra(prints)] == pairs  # 0 and 2: sqrt(1/2); 1 and 2: 1/2
    short = sounds.sound_fingerprint(save_sound(tmp_path / "short.wav", sound(1, 0.02)))
    assert short.num_samples == 320 and np.square(short.spectrum).sum() == pytest.approx(1)
