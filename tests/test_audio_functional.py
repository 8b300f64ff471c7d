"""Sound files of every kind and defect, windows at every border, panning and mixing."""

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media.audio_functional import (
    cut_window,
    mix,
    pan_stereo,
    root_mean_square,
)
from projects.cpm_avs.media.sound_io import load_waveform


def tone(seconds: float, rate: int, frequency: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)


def write_aac(path, samples: np.ndarray, rate: int, layout: str = "mono") -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout=layout)
        packed = np.ascontiguousarray(samples.T.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)


def write_silent_video(path, num_frames: int = 3) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 32
        for _ in range(num_frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


# ---- loading


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_formats_and_rates_give_the_same_tone(tmp_path, suffix):
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, tone(1.0, 44100), 44100)
    waveform = load_waveform(path)
    assert waveform.dtype == np.float32 and waveform.shape[0] == 1
    assert abs(waveform.shape[1] - 16000) < 2400  # mp3 pads
    middle = waveform[0, 4000:12000]
    # A sine of amplitude 0.5 at 440 Hz: level 0.5 / sqrt(2), peak of the spectrum at 440 Hz.
    assert abs(root_mean_square(middle) - 0.5 / 2**0.5) < 0.01
    assert np.argmax(np.abs(np.fft.rfft(middle))) == 440 * 8000 // 16000


def test_sound_track_of_a_container(tmp_path):
    write_aac(tmp_path / "tone.m4a", tone(1.0, 48000), 48000)
    waveform = load_waveform(tmp_path / "tone.m4a", channels=2)
    assert waveform.shape[0] == 2 and abs(waveform.shape[1] - 16000) < 1600
    assert np.array_equal(waveform[0], waveform[1])
    assert abs(root_mean_square(waveform[:, 4000:12000]) - 0.5 / 2**0.5) < 0.02


def test_channels(tmp_path):
    left, right = tone(0.1, 16000), -0.5 * tone(0.1, 16000)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    mono, stereo = load_waveform(path), load_waveform(path, channels=2)
    np.testing.assert_allclose(mono[0], 0.25 * left, atol=1e-6)
    np.testing.assert_allclose(stereo, np.stack([left, right]), atol=1e-6)
    soundfile.write(path, left, 16000, subtype="FLOAT")
    np.testing.assert_allclose(load_waveform(path, channels=2), np.stack([left, left]), atol=1e-6)
    with pytest.raises(ValueError, match="channels=3"):
        load_waveform(path, channels=3)


def test_silence_is_a_sound(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 16000)
    assert np.array_equal(load_waveform(tmp_path / "silence.wav"), np.zeros((1, 8000)))


def refuse(path, reason: str) -> None:
    with pytest.raises(BadSampleError) as caught:
        load_waveform(path)
    assert str(path) in str(caught.value) and reason in str(caught.value)
    assert caught.value.remedy in str(caught.value)


def test_missing_empty_and_foreign_files(tmp_path):
    refuse(tmp_path / "none.wav", "does not exist")
    for name in ("empty.wav", "empty.mp4"):
        (tmp_path / name).write_bytes(b"")
        refuse(tmp_path / name, "empty")
    for name in ("text.wav", "text.mp3", "text.mp4"):
        (tmp_path / name).write_text("this is no sound\n" * 100)
        refuse(tmp_path / name, "no video or sound that can be read")
    soundfile.write(tmp_path / "zero.wav", np.zeros(0), 16000)
    refuse(tmp_path / "zero.wav", "no samples")
    write_silent_video(tmp_path / "mute.mp4")
    refuse(tmp_path / "mute.mp4", "no sound track")
    samples = tone(0.1, 16000)
    samples[100] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16000, subtype="FLOAT")
    refuse(tmp_path / "nan.wav", "not finite")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a", "w64", "caf", "aiff", "au"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_truncated_files(tmp_path, suffix, share):
    path = tmp_path / f"tone.{suffix}"
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * 16000)
    write_aac(path, noise, 16000) if suffix == "m4a" else soundfile.write(path, noise, 16000)
    load_waveform(path)  # whole, it is fine
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadSampleError, match=path.name):
        load_waveform(path)


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_ogg_that_ends_amid_its_last_page(tmp_path, cut):
    path = tmp_path / "tone.ogg"
    soundfile.write(path, tone(0.5, 16000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    refuse(path, "truncated")
    path.write_bytes(content[: content.rfind(b"OggS") + 5])  # amid the header of the page
    refuse(path, "truncated")


def test_flac_of_unknown_length_is_read(tmp_path):
    path = tmp_path / "pipe.flac"
    soundfile.write(path, tone(0.5, 16000), 16000)
    whole, content = load_waveform(path), bytearray(path.read_bytes())
    content[21] &= 0xF0  # the 36 bits of the number of samples
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert np.array_equal(load_waveform(path), whole)


def test_a_sound_that_resampling_leaves_nothing_of(tmp_path):
    soundfile.write(tmp_path / "one.wav", np.ones(1), 48000)
    refuse(tmp_path / "one.wav", "no samples at 16000 Hz")


def test_eight_channels_of_a_container(tmp_path):
    samples = np.zeros((8, 16000), np.float32)
    samples[2] = tone(1.0, 16000)  # the centre
    write_aac(tmp_path / "round.m4a", samples, 16000, layout="7.1")
    waveform = load_waveform(tmp_path / "round.m4a")
    assert abs(root_mean_square(waveform[:, 4000:12000]) - 0.5 / 2**0.5 / 8) < 0.002


def test_container_of_an_unknown_codec(tmp_path):
    path = tmp_path / "tone.m4a"
    write_aac(path, tone(0.5, 16000), 16000)
    path.write_bytes(path.read_bytes().replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    refuse(path, "unknown codec")


def test_container_whose_metadata_is_no_text(tmp_path):
    path = tmp_path / "tone.m4a"
    write_aac(path, tone(0.5, 16000), 16000)
    path.write_bytes(path.read_bytes().replace(b"Lavf", b"\xff\xfe\xfd\xfc"))
    assert load_waveform(path).any()


def test_wav_of_unknown_length_is_read(tmp_path):
    """Programs that write to a pipe can't go back to fill in the length."""
    path = tmp_path / "pipe.wav"
    soundfile.write(path, tone(0.5, 16000), 16000)
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    assert load_waveform(path).shape == (1, 8000)


def test_real_files(samples_dir):
    assert load_waveform(samples_dir / "clips/drum.mp4").shape[1] > 9 * 16000
    stereo = load_waveform(samples_dir / "avsbench_s4/audio.wav", channels=2)
    assert stereo.shape[0] == 2 and stereo.shape[1] > 4 * 16000


# ---- windows


@pytest.mark.parametrize(
    ("start", "expected"),
    [(0, [0, 1, 2]), (2, [2, 3, 4]), (-2, [0, 1, 2]), (3, [2, 3, 4]), (99, [2, 3, 4])],
)
def test_window_stays_inside(start, expected):
    waveform = np.arange(5, dtype=np.float32)[None]
    assert cut_window(waveform, start, 3).tolist() == [expected]


def test_short_sound_is_tiled_from_its_beginning():
    waveform = np.array([[1, 2, 3], [4, 5, 6]], dtype=np.float32)
    for start in (-5, 0, 2):
        tiled = cut_window(waveform, start, 7)
        assert tiled.tolist() == [[1, 2, 3, 1, 2, 3, 1], [4, 5, 6, 4, 5, 6, 4]]


def test_five_second_clip_asked_for_ten_keeps_its_first_half():
    """CAVP's bug: a negative slice start gave the last 2.5 s, four times."""
    waveform = np.arange(80000, dtype=np.float32)[None]
    window = cut_window(waveform, (80000 - 160000) // 2, 160000)
    assert np.array_equal(window, np.concatenate([waveform, waveform], axis=1))


def test_window_needs_something_to_cut():
    with pytest.raises(ValueError, match="no samples"):
        cut_window(np.zeros((1, 0), np.float32), 0, 4)
    with pytest.raises(ValueError, match="length=0"):
        cut_window(np.zeros((1, 4), np.float32), 0, 0)


# ---- panning and mixing


def test_pan_and_mix():
    left = pan_stereo(np.array([[1.0, 2.0]], np.float32), 0.25)
    assert left.tolist() == [[0.75, 1.5], [0.25, 0.5]]
    right = pan_stereo(np.array([[4.0, 0.0]], np.float32), 1.0)
    assert mix([left, right]).tolist() == [[0.75, 1.5], [4.25, 0.5]]
    assert left.tolist() == [[0.75, 1.5], [0.25, 0.5]]  # not summed in place
    with pytest.raises(ValueError, match="position=1.2"):
        pan_stereo(np.ones((1, 2), np.float32), 1.2)
    with pytest.raises(ValueError, match="2 channels"):
        pan_stereo(left, 0.5)
    with pytest.raises(ValueError, match="cut both"):
        mix([left, left[:, :1]])
    with pytest.raises(ValueError, match="nothing to mix"):
        mix([])
