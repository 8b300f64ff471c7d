"""One reader of sounds: training, checks and the inferencer hear the same, and all of it."""

from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media.joined import parts_of
from projects.cpm_avs.media.sound_headers import is_cut_off, is_whole
from projects.cpm_avs.media.sound_io import load_waveform, read_sound
from projects.cpm_avs.media.window_loading import load_window


def noise(seconds: float, rate: int = 16000, channels: int = 1) -> np.ndarray:
    """(n, A) in [-0.3, 0.3]."""
    generator = np.random.default_rng(0)
    return generator.uniform(-0.3, 0.3, (round(seconds * rate), channels)).astype(np.float32)


def streamed(path: Path, **wanted) -> np.ndarray:
    """(1, n): what the demo and the page hear."""
    return np.concatenate([*read_sound(path, sample_rate=16000, channels=1, **wanted)], axis=1)


def write_mp3(path: Path, seconds: float, *, xing: bool, bit_rate: int = 64_000) -> bytes:
    rate = 44100
    options = {"write_xing": str(int(xing)), "id3v2_version": "4" if xing else "0"}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream("libmp3lame", rate=rate, layout="mono")
        stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(noise(seconds, rate).T.copy(), "fltp", "mono")
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def write_track(path: Path, codec: str, form: str, samples: np.ndarray) -> None:
    """Of one channel at 16 kHz, in floats."""
    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else None) as container:
        stream = container.add_stream(codec, rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.T.copy(), form, "mono")
        frame.sample_rate, frame.time_base = 16000, Fraction(1, 16000)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


class TestLength:
    """Of what was decoded, not of what a header says."""

    @pytest.mark.parametrize("xing", [True, False])
    def test_joined_mp3(self, tmp_path, xing):
        path = tmp_path / "joined.mp3"
        parts = [write_mp3(path, 1.0, xing=xing), write_mp3(path, 2.0, xing=xing)]
        path.write_bytes(b"".join(parts))
        heard = load_waveform(path)
        assert heard.shape[1] / 16000 == pytest.approx(3.0, abs=0.12)
        assert np.abs(heard[:, -8000:-2000]).max() > 0.1
        np.testing.assert_array_equal(heard, streamed(path))

    def test_mp3_whose_rate_changes_without_a_header(self, tmp_path):
        """FFmpeg guesses the length of such a file from its first frames: here the triple."""
        path = tmp_path / "uneven.mp3"
        parts = [write_mp3(path, 0.5, xing=False, bit_rate=32_000)]
        parts += [write_mp3(path, 3.0, xing=False, bit_rate=160_000)]
        path.write_bytes(b"".join(parts))
        assert load_waveform(path).shape[1] / 16000 == pytest.approx(3.5, abs=0.12)

    @pytest.mark.parametrize(
        "whole, data",
        [
            (0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFE, 0xFFFFFFDA),
            (0x7FFFFFFF, 0x7FFFFFDB), (0x80000024, 0x80000000), (0, 16000), (0xFFFFFFFF, 16000),
        ],
    )  # fmt: skip
    def test_wav_of_a_pipe(self, tmp_path, whole, data):
        """Programs that write to a pipe can't go back to fill in sizes."""
        path = tmp_path / "pipe.wav"
        soundfile.write(path, noise(0.5), 16000, subtype="PCM_16")
        expected, content = load_waveform(path), bytearray(path.read_bytes())
        content[4:8], content[40:44] = whole.to_bytes(4, "little"), data.to_bytes(4, "little")
        path.write_bytes(content)
        np.testing.assert_array_equal(load_waveform(path), expected)
        np.testing.assert_array_equal(streamed(path), expected)

    @pytest.mark.parametrize("suffix", ["ogg", "mp3"])
    def test_two_files_in_one(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        soundfile.write(path, noise(1.0), 16000)
        path.write_bytes(path.read_bytes() * 2)
        assert load_waveform(path).shape[1] == pytest.approx(32000, abs=3200)

    @pytest.mark.parametrize(
        "suffix", ["flac", "wav", "rf64", "w64", "caf", "aiff", "au", "m4a", "ogg", "opus"]
    )
    @pytest.mark.parametrize("length", [16000, 15999])  # bytes of which FLAC or WAV add one
    def test_all_of_a_joined_file_is_heard(self, tmp_path, suffix, length):
        """`cat a b c`: FFmpeg would leave out frames at the joints, or all but the first one."""
        files = [tmp_path / f"{name}.{suffix}" for name in ("a", "b", "c")]
        for number, path in enumerate(files):
            part = noise(1.0)[: length + 20 * number] * (number + 1) / 3
            if suffix == "m4a":
                write_track(path, "aac", "fltp", part)
            else:
                form = dict(wav="PCM_U8", ogg="VORBIS", opus="OPUS").get(suffix, "PCM_16")
                kind = dict(format="OGG") if suffix == "opus" else {}
                soundfile.write(path, part, 16000, subtype=form, **kind)
        path = tmp_path / f"joined.{suffix}"
        path.write_bytes(b"".join(one.read_bytes() for one in files))
        expected = np.concatenate([load_waveform(one) for one in files], axis=1)
        np.testing.assert_array_equal(load_waveform(path), expected)
        np.testing.assert_array_equal(streamed(path), expected)
        np.testing.assert_array_equal(
            load_window(path, start=20000, length=9000), expected[:, 20000:29000]
        )
        late = np.concatenate(
            [*read_sound(path, sample_rate=16000, channels=1, origin=0.0, start=1.5, end=2.5)], 1
        )
        np.testing.assert_array_equal(late, expected[:, 24000:40000])

    def test_a_joined_file_that_is_cut_off_is_refused(self, tmp_path):
        for suffix in ("wav", "flac", "ogg"):
            path = tmp_path / f"a.{suffix}"
            soundfile.write(path, noise(4.0), 16000)
            content = path.read_bytes()
            for size, least, most in ((len(content) * 7 // 8, 80000, 120001), (99, 63990, 64100)):
                path.write_bytes(content + content[:size])
                with pytest.raises(BadSampleError, match=rf"a\.{suffix}: .*(trunc|damage|no vid)"):
                    load_waveform(path)
                assert least < streamed(path).shape[1] < most

    @pytest.mark.parametrize("harm", ["zeros", "a page is gone", "one bit"])
    @pytest.mark.parametrize("form", ["VORBIS", "OPUS"])
    def test_what_follows_a_damaged_ogg_page_is_not_heard_early(self, tmp_path, harm, form):
        """Libsndfile leaves out a page that it can't use, and joins what is before and behind."""
        path = tmp_path / "a.ogg"
        samples = 0.01 * noise(9.0)
        samples[112000:116000] *= 50  # loud from second 7.0 on
        soundfile.write(path, samples, 16000, format="OGG", subtype=form)
        content = path.read_bytes()
        begin = content.find(b"OggS", len(content) // 2)
        end = content.find(b"OggS", begin + 1)
        page = content[begin:end]
        harmed = {
            "zeros": bytes(len(page)),
            "a page is gone": b"",
            "one bit": page[:-9] + bytes([page[-9] ^ 1]) + page[-8:],
        }[harm]
        path.write_bytes(content[:begin] + harmed + content[end:])
        for hear in (load_waveform, lambda file: load_window(file, start=112000, length=15360)):
            with pytest.raises(BadSampleError, match=r"a\.ogg: .*damaged"):
                hear(path)
        loud = np.flatnonzero(np.abs(streamed(path)) > 0.03)
        assert [loud[0], loud[-1]] == pytest.approx([112000, 115999], abs=500)

    def test_an_rf64_that_is_cut_off_is_refused(self, tmp_path):
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(1.0), 16000, format="RF64")
        assert load_waveform(path).shape == (1, 16000)
        path.write_bytes(path.read_bytes()[:20000])
        with pytest.raises(BadSampleError, match="truncated"):
            load_waveform(path)

    @pytest.mark.parametrize("between", [b"", b"LIST\4\0\0\0abcd"])
    def test_two_chunks_of_sound_are_refused(self, tmp_path, between):
        """FFmpeg takes the last one alone, and libsndfile none."""
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(0.5), 16000, subtype="PCM_16")
        content = bytearray(path.read_bytes())
        content += between + content[36:]
        content[4:8] = (len(content) - 8).to_bytes(4, "little")
        path.write_bytes(content)
        windowed = partial(load_window, start=0, length=4000)
        for hear in (load_waveform, streamed, windowed):
            with pytest.raises(BadSampleError, match=r"a\.wav: has two chunks of sound .* anew"):
                hear(path)

    @pytest.mark.parametrize(
        "odd",
        [
            b"",
            b"RIFF",
            b"riff",
            b"caff",
            b"OggS\0\2",
            b".snd",
            b"FORM\0\0\0\0AIFF",
            b"\0\0\0\1ftypm4a ",
        ],
    )
    def test_a_stump_has_one_part(self, tmp_path, odd):
        stump = tmp_path / "stump"
        stump.write_bytes(odd)
        assert parts_of(stump) == [(0, len(odd))]
        assert not is_whole(stump) and is_cut_off(stump) == odd.startswith(b"OggS")

    def test_one_sample(self, tmp_path):
        soundfile.write(tmp_path / "one.wav", noise(1 / 16000), 16000)
        assert load_waveform(tmp_path / "one.wav").shape == (1, 1)


@pytest.mark.parametrize(
    "suffix, subtype, step",
    [
        ("wav", "PCM_U8", 2**-7), ("wav", "PCM_16", 2**-15), ("wav", "PCM_24", 2**-23),
        ("wav", "PCM_32", 1e-7), ("wav", "FLOAT", 0), ("wav", "DOUBLE", 0), ("wav", "ULAW", 0.01),
        ("wav", "ALAW", 0.01), ("wav", "IMA_ADPCM", 0.03), ("wav", "MS_ADPCM", 0.03),
        ("rf64", "PCM_16", 2**-15), ("w64", "PCM_24", 2**-23), ("aiff", "PCM_16", 2**-15),
        ("au", "PCM_16", 2**-15), ("caf", "PCM_16", 2**-15), ("flac", "PCM_24", 2**-23),
        ("ogg", "VORBIS", 0.03), ("ogg", "OPUS", 0.03),
    ],
)  # fmt: skip
def test_formats(tmp_path, suffix, subtype, step):
    path = tmp_path / f"a.{suffix}"
    sound = 0.3 * np.sin(np.arange(8000)[:, None] * np.array([0.05, 0.08]))
    soundfile.write(path, sound, 16000, subtype=subtype, format=suffix.upper())
    heard = load_waveform(path, channels=2)
    np.testing.assert_array_equal(
        heard, np.concatenate([*read_sound(path, sample_rate=16000, channels=2)], axis=1)
    )
    assert 8000 <= heard.shape[1] <= 8000 + (1100 if "ADPCM" in subtype else 0)
    edge = 500 if step == 0.03 else 0  # of what is not lossless
    inner = slice(edge, 8000 - edge)
    np.testing.assert_allclose(heard[:, inner], sound.T[:, inner], atol=step + 1e-7)


def test_blocks_of_a_long_file_and_of_its_parts(tmp_path):
    path, sound = tmp_path / "long.wav", noise(40, 8000)
    soundfile.write(path, sound, 8000, subtype="FLOAT")
    whole = np.concatenate([*read_sound(path, sample_rate=8000, channels=1)], axis=1)
    np.testing.assert_array_equal(whole, sound.T)
    wanted = dict(sample_rate=8000, channels=1, origin=0.0, start=35.0, end=38.5)
    part = np.concatenate([*read_sound(path, **wanted)], axis=1)
    np.testing.assert_array_equal(part, sound.T[:, 280000:308000])
    half = [*read_sound(path, sample_rate=4000, channels=1)]
    assert sum(one.shape[1] for one in half) == 160000


class TestNoSound:
    """Samples that can't be a sound are refused with the file and the second."""

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("suffix", ["wav", "caf", "mkv"])  # by libsndfile and by FFmpeg
    def test_not_finite(self, tmp_path, suffix, bad):
        path, sound = tmp_path / f"a.{suffix}", noise(2.0)
        sound[20000] = bad
        if suffix == "mkv":
            write_track(path, "pcm_f32le", "flt", sound)
        else:
            soundfile.write(path, sound, 16000, subtype="FLOAT")
        for hear in (load_waveform, streamed):
            with pytest.raises(BadSampleError, match=rf"a.{suffix}: .*not finite.* at 1.250 s"):
                hear(path)

    @pytest.mark.parametrize("scale", [127.0, 32768.0, 2.0**31])
    def test_integers_stored_as_floats(self, tmp_path, scale):
        path = tmp_path / "a.wav"
        soundfile.write(path, np.float32(scale) * noise(0.5), 16000, subtype="FLOAT")
        for hear in (load_waveform, streamed):
            with pytest.raises(BadSampleError, match="integers stored as floats.*Divide them"):
                hear(path)

    @pytest.mark.parametrize("rate", [1, 2_000_000])
    def test_rates_of_a_damaged_header(self, tmp_path, rate):
        """Of 1 Hz, a second of it became 12 hours at 16 kHz."""
        path = tmp_path / "a.wav"
        soundfile.write(path, noise(0.5), 16000)
        content = bytearray(path.read_bytes())
        content[24:28] = rate.to_bytes(4, "little")
        path.write_bytes(content)
        for hear in (load_waveform, streamed):
            with pytest.raises(BadSampleError, match=f"a.wav: .*a rate of {rate} Hz"):
                hear(path)

    def test_a_loud_float_is_kept(self, tmp_path):
        """A mix may go beyond full scale."""
        soundfile.write(tmp_path / "a.wav", 20 * noise(0.5), 16000, subtype="FLOAT")
        assert np.abs(load_waveform(tmp_path / "a.wav")).max() > 5


@pytest.mark.parametrize(
    "name", ["12:30.wav", "http:x.wav", "concat:a|b.wav", "-.wav", "a%03d.wav", "grüße 1.m4a"]
)
def test_names_are_names(tmp_path, monkeypatch, name):
    """Not protocols, patterns or options; FFmpeg sees protocols in relative paths only."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.caf", noise(0.2), 16000, format="CAF")
    Path("a.caf").rename(name)
    assert load_waveform(name).shape == (1, 3200)
