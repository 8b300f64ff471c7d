"""Windows of which only the seconds around them are decoded, against those of the whole sound."""

import numpy as np
import pytest
import soundfile

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media.audio_functional import cut_window
from projects.cpm_avs.media.sound_io import load_waveform
from projects.cpm_avs.media.window_loading import load_window

LENGTH = 4000


def write(path, seconds: float, rate: int, channels: int = 2) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, noise, rate)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Samples of the file that were read for a piece; one entry for each."""
    counts: list[int] = []
    original = soundfile.SoundFile.read

    def noted(self, frames=-1, *args, **kwargs):
        counts.append(frames)
        return original(self, frames, *args, **kwargs)

    monkeypatch.setattr(soundfile.SoundFile, "read", noted)
    return counts


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_window_is_that_of_the_whole_sound(tmp_path, read, rate, channels):
    write(tmp_path / "a.wav", 2, rate)
    whole = load_waveform(tmp_path / "a.wav", channels=channels)
    read.clear()
    for start in (0, 1, 1601, 12345, whole.shape[1] - LENGTH):
        found = load_window(tmp_path / "a.wav", start=start, length=LENGTH, channels=channels)
        assert found.shape == (channels, LENGTH) and found.dtype == np.float32
        np.testing.assert_allclose(found, whole[:, start : start + LENGTH], atol=1e-6)
    assert len(read) == 5 and max(read) < 0.5 * rate  # 0.25 s, and a margin on either side


@pytest.mark.parametrize("start", [-1, -4000, 32000 - LENGTH + 1, 99999])
def test_a_window_beyond_the_sound_is_moved_as_before(tmp_path, start):
    write(tmp_path / "a.wav", 2, 16000)
    whole = load_waveform(tmp_path / "a.wav")
    found = load_window(tmp_path / "a.wav", start=start, length=LENGTH)
    np.testing.assert_array_equal(found, cut_window(whole, start, LENGTH))


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_short_sound_is_tiled_and_another_format_read_whole(tmp_path, name):
    write(tmp_path / name, 0.1, 16000)
    found = load_window(tmp_path / name, start=300, length=LENGTH)
    np.testing.assert_array_equal(found, cut_window(load_waveform(tmp_path / name), 300, LENGTH))


def test_what_is_wrong_with_the_window_is_told_with_its_second(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, (32000, 1)).astype(np.float32)
    samples[24000] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert np.isfinite(load_window(tmp_path / "a.wav", start=0, length=LENGTH)).all()
    with pytest.raises(BadSampleError, match=r"NaN.*1\.500 s"):
        load_window(tmp_path / "a.wav", start=23000, length=LENGTH)


def test_a_file_that_is_cut_off_is_refused(tmp_path):
    write(tmp_path / "a.wav", 2, 16000)
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadSampleError, match="truncated"):
        load_window(tmp_path / "a.wav", start=0, length=LENGTH)
    with pytest.raises(BadSampleError):
        load_window(tmp_path / "none.wav", start=0, length=LENGTH)
