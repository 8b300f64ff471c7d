"""Reading and writing clips: odd files, true times, sound in sync."""

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
import soundfile
from clips import click_track, make_clip, moving_square

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media import sound_decoding, video_io
from projects.cpm_avs.media.opening import ONLY_MEDIA
from projects.cpm_avs.media.sound_io import load_waveform, read_sound
from projects.cpm_avs.media.sound_windows import SoundWindows
from projects.cpm_avs.media.video_io import probe, read_frames
from projects.cpm_avs.media.video_writer import VideoWriter


def first_loud(sound: np.ndarray, rate: int) -> float:
    """Second at which (A, n) first exceeds a tenth of full scale."""
    return float(np.argmax(np.abs(sound).max(0) > 0.1)) / rate


def whole(path: Path, **wanted) -> np.ndarray:
    return np.concatenate(list(read_sound(path, **wanted)), axis=1)


def test_probe_and_times(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=10, sound=click_track(0.4, (0.1,)))
    info = probe(clip)
    assert (info.width, info.height, info.frames) == (64, 48, 10)
    assert info.rate == 25 and info.duration == pytest.approx(0.4)
    assert (info.sample_rate, info.channels) == (44100, 1)
    frames = list(read_frames(clip))
    assert [frame.time for frame in frames] == pytest.approx([k / 25 for k in range(10)])
    assert np.abs(frames[3].image.astype(int) - moving_square(3)).mean() < 4


def test_start_and_end(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=30)
    times = [frame.time for frame in read_frames(clip, start=0.5, end=0.7)]
    assert times == pytest.approx([0.52, 0.56, 0.6, 0.64, 0.68])


def test_b_frames_of_an_avi_have_rising_times(tmp_path):
    """AVI has no times; FFmpeg counts the packets, which come in another order than they show."""
    clip = make_clip(tmp_path / "a.avi", frames=40)
    with av.open(str(clip)) as container:
        counted = [picture.pts for picture in container.decode(video=0)]
    assert counted != sorted(counted)
    info = probe(clip)
    assert (info.frames, info.rate) == (40, 25) and info.duration == pytest.approx(1.6)
    frames = list(read_frames(clip))
    assert [frame.time for frame in frames] == pytest.approx([k / 25 for k in range(40)])
    for k in (0, 1, 2, 3, 20, 39):
        assert np.abs(frames[k].image.astype(int) - moving_square(k)).mean() < 4
    part = list(read_frames(clip, origin=info.origin, start=1.2, end=1.4))
    assert [frame.time for frame in part] == pytest.approx([1.2, 1.24, 1.28, 1.32, 1.36])
    assert np.abs(part[0].image.astype(int) - moving_square(30)).mean() < 4


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_is_applied(tmp_path, rotation):
    clip = make_clip(tmp_path / "portrait.mp4", frames=2, rotation=rotation)
    image = next(read_frames(clip)).image
    expected = np.rot90(moving_square(0), rotation // 90)
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4
    info = probe(clip)
    assert (info.height, info.width) == expected.shape[:2]


def test_variable_frame_rate_round_trip(tmp_path):
    times = [0.0, 0.1, 0.13, 0.5, 0.55, 1.0]
    clip = make_clip(tmp_path / "vfr.mp4", frames=6, times=times)
    info = probe(clip)
    writer = VideoWriter(
        tmp_path / "out.mp4", width=64, height=48, rate=info.rate, time_base=info.time_base
    )
    for frame in read_frames(clip):
        writer.write(frame.image[..., ::-1], frame.time)
    writer.close(info.duration)
    assert [frame.time for frame in read_frames(tmp_path / "out.mp4")] == pytest.approx(
        times, abs=1e-3
    )
    assert probe(tmp_path / "out.mp4").duration == pytest.approx(info.duration, abs=1e-3)


@pytest.mark.parametrize("rate", [(1, 90_000), (1, 1_000_000)])
def test_writer_without_h264_takes_mpeg4(tmp_path, monkeypatch, rate):
    """MPEG-4 refuses clocks of more than 65535 ticks a second, which most sources have."""
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    out = tmp_path / "o.mp4"
    writer = VideoWriter(out, width=64, height=48, rate=Fraction(25), time_base=Fraction(*rate))
    for index in range(5):
        writer.write(moving_square(index)[..., ::-1], index / 25)
    writer.close(0.2)
    with av.open(str(out)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert [frame.time for frame in read_frames(out)] == pytest.approx([k / 25 for k in range(5)])
    assert probe(out).duration == pytest.approx(0.2)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stored", [1, 2, 6, 9])
def test_sound_is_as_loud_as_in_training(tmp_path, stored, channels):
    """FFmpeg's own mixing makes a stereo sound louder in mono, and a mono one softer in stereo."""
    path = tmp_path / "a.wav"
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, (8000, stored))
    soundfile.write(path, sound, 16000, subtype="FLOAT")
    read = whole(path, sample_rate=16000, channels=channels)
    if (stored, channels) == (6, 2):  # mixed for listening: the centre is not lost
        assert read.shape == (2, 8000)
    else:
        np.testing.assert_allclose(read, load_waveform(path, channels=channels), atol=1e-6)


def test_tracks_of_unknown_codecs(tmp_path):
    sound = click_track(0.4, (0.1,))
    good = make_clip(tmp_path / "a.mp4", frames=10, sound=sound).read_bytes()
    deaf, blind = tmp_path / "deaf.mp4", tmp_path / "blind.mp4"
    deaf.write_bytes(good.replace(b"mp4a", b"zzzz").replace(b"esds", b"zzzz"))
    blind.write_bytes(good.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzz"))
    assert (probe(deaf).frames, probe(deaf).channels) == (10, 0)  # as without a sound track
    with pytest.raises(BadSampleError, match="no sound track that can be decoded"):
        next(read_sound(deaf, sample_rate=16000, channels=1))
    with pytest.raises(BadSampleError, match="blind.mp4.*picture is of an unknown codec.*H.264"):
        probe(blind)


@pytest.mark.parametrize(
    "decode, rest", [(sound_decoding._frames, [False]), (video_io._pictures, [])]
)
def test_a_decoder_that_gives_up_names_the_file(decode, rest, monkeypatch):
    """FFmpeg has errors besides that of invalid data, such as of features that it lacks."""

    def refuse() -> None:
        raise av.error.PatchWelcomeError(1, "Not yet implemented")

    packet = SimpleNamespace(decode=refuse, pts=None, dts=None)
    for module in (sound_decoding, video_io):
        monkeypatch.setattr(module, "steady_packets", lambda *_: iter([packet]))
    container = SimpleNamespace(format=SimpleNamespace(name="mp4"))
    stream = SimpleNamespace(codec_context=SimpleNamespace(has_b_frames=False), time_base=None)
    with pytest.raises(BadSampleError, match="a.mp4.*can't be decoded.*H.264"):
        next(decode(container, "a.mp4", stream, 0, *rest))


def test_a_packet_that_can_not_be_decoded_is_left_out(tmp_path, monkeypatch):
    """FFmpeg's AAC has an error of its own for it; the clip was refused."""
    packets, opened = sound_decoding.steady_packets, []

    def harmed(*args):
        for number, packet in enumerate(packets(*args)):
            yield BrokenPacket(packet) if number == 9 else packet

    class BrokenPacket:
        def __init__(self, packet):
            self.pts, self.dts, self.time_base = packet.pts, packet.dts, packet.time_base

        def __bytes__(self):
            return b"zzzz"

        def decode(self):
            opened.append(self)
            raise av.error.UndefinedError(50531338, "Error number -50531338 occurred")

    clip = make_clip(tmp_path / "a.mp4", sound=click_track(1, (0.7,)))
    monkeypatch.setattr(sound_decoding, "steady_packets", harmed)
    heard = whole(clip, sample_rate=16000, channels=1, origin=0.0, end=1.0)
    assert opened and first_loud(heard, 16000) == pytest.approx(0.7, abs=0.05)
    with pytest.raises(BadSampleError, match=r"a\.mp4: the sound is damaged"):
        load_waveform(clip)


def test_late_sound_is_padded_with_silence(tmp_path):
    sound = click_track(0.5, (0.2,))
    clip = make_clip(tmp_path / "late.mp4", sound=sound, sound_start=0.4)
    heard = whole(clip, sample_rate=16000, channels=1, origin=0.0, end=1.0)
    assert heard.shape == (1, 16000)
    assert first_loud(heard, 16000) == pytest.approx(0.6, abs=0.005)
    assert np.abs(heard[0, :6000]).max() == 0


def test_a_track_that_changes_on_the_way_is_read_on(tmp_path):
    """ADTS files can be joined: mono, then stereo at another rate, each a second with a click."""
    joined = b""
    for layout, rate in (("mono", 44100), ("stereo", 48000), ("mono", 48000)):
        path = tmp_path / "part.aac"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=rate, layout=layout)
            sound = np.repeat(click_track(1.0, (0.5,), rate), 1 if layout == "mono" else 2, axis=0)
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout=layout)
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        joined += path.read_bytes()
    (tmp_path / "joined.aac").write_bytes(joined)
    chunks = read_sound(tmp_path / "joined.aac", sample_rate=16000, channels=1)
    sound = np.concatenate(list(chunks), axis=1)[0]
    loud = np.flatnonzero(np.abs(sound) > 0.3) / 16000
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-1) > 0.3)]
    assert len(starts) == 3 and sound.shape[0] / 16000 == pytest.approx(3, abs=0.3)
    assert np.diff(starts) == pytest.approx([1, 1], abs=0.2)  # ADTS has no times of its own


def test_sound_from_the_middle(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", frames=100, sound=click_track(4, (3.2,)))
    heard = whole(clip, sample_rate=16000, channels=2, start=3.0, end=3.5)
    assert heard.shape == (2, 8000)
    assert first_loud(heard, 16000) == pytest.approx(0.2, abs=0.005)


def test_stereo_mp3(tmp_path):
    sound = np.concatenate([click_track(1, (0.3,)), np.zeros((1, 44100), np.float32)])
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    heard = whole(path, sample_rate=16000, channels=2)
    assert first_loud(heard, 16000) == pytest.approx(0.3, abs=0.005)
    assert np.abs(heard[1]).max() < 0.02 < 0.5 < np.abs(heard[0]).max()
    with pytest.raises(BadSampleError, match="no picture"):
        probe(path)


@pytest.mark.parametrize("size", [(64, 48), (62, 46)])
@pytest.mark.parametrize("cut", [0, 1])
def test_writer_keeps_sound_in_sync(tmp_path, size, cut):
    clip = make_clip(tmp_path / "a.mp4", frames=50, size=size, sound=click_track(2.3, (0.5, 1.5)))
    info = probe(clip)
    width, height = size[0] - cut, size[1] - cut  # odd with cut = 1
    sound = read_sound(clip, sample_rate=44100, channels=1, end=info.duration)
    out = tmp_path / "out.mp4"
    writer = VideoWriter(
        out, width=width, height=height, rate=info.rate, time_base=info.time_base,
        sound=sound, sample_rate=44100, channels=1,
    )  # fmt: skip
    for frame in read_frames(clip):
        writer.write(frame.image[:height, :width, ::-1], frame.time)
    writer.close(info.duration)
    written = probe(out)
    assert (written.width, written.height) == size  # an odd side grows to the next even one
    assert (written.frames, written.rate) == (50, 25)
    with av.open(str(out)) as container:
        lengths = [float(s.duration * s.time_base) for s in container.streams]
    assert lengths == pytest.approx([2.0, 2.0], abs=1e-3)
    heard = whole(out, sample_rate=16000, channels=1)
    assert first_loud(heard, 16000) == pytest.approx(0.5, abs=0.005)
    assert first_loud(heard[:, 16000:], 16000) == pytest.approx(0.5, abs=0.005)


def test_an_overlay_as_mkv_says_nothing_of_options(tmp_path, caplog):
    """Of which PyAV would tell that they were not used."""
    writer = VideoWriter(
        tmp_path / "a.mkv", width=16, height=16, rate=Fraction(5), time_base=Fraction(1, 5)
    )
    writer.write(np.zeros((16, 16, 3), np.uint8), 0.0)
    writer.close()
    assert caplog.messages == [] and probe(tmp_path / "a.mkv").frames == 1


def test_one_frame(tmp_path):
    clip = make_clip(tmp_path / "one.mp4", frames=1, sound=click_track(0.04, (0.0,)))
    info = probe(clip)
    assert info.frames == 1 and info.duration == pytest.approx(0.04, abs=1e-3)


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "empty"),
        (b"This is a letter, not a film. " * 50, "no video"),
        (None, "not exist"),
        (PLAYLIST, "no video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "no video"),
    ],
)
def test_not_a_video(tmp_path, content, match):
    path = tmp_path / "x.mp4"
    make_clip(tmp_path / "other.mp4", frames=2)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSampleError, match=match) as caught:
        probe(path)
    assert caught.value.remedy and "x.mp4" in str(caught.value)


def test_formats_that_name_other_files_to_read_are_left_out():
    """Not every FFmpeg has a reader of DASH, which read any video of a server."""
    known = set(ONLY_MEDIA["format_whitelist"].split(","))
    assert not known & {"dash", "hls", "concat", "webm_dash_manifest", "image2", "sdp", "lavfi"}
    assert ONLY_MEDIA["protocol_whitelist"] == "file"


@pytest.mark.parametrize(
    "name", ["12:30.mp4", "http:x.mp4", "concat:a|b.mp4", "pipe:1.mp4", "a%03d.mp4", "-é ü.mp4"]
)
def test_names_are_names(tmp_path, monkeypatch, name):
    """Neither protocols nor patterns, of what is read and written; FFmpeg sees both in names."""
    monkeypatch.chdir(tmp_path)
    writer = VideoWriter(name, width=64, height=48, rate=Fraction(25))
    writer.write(moving_square(0)[..., ::-1], 0.0)
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert probe(name).frames == 1


def test_video_without_frames(tmp_path):
    path = tmp_path / "hollow.mp4"
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(BadSampleError):
        probe(path)


def test_no_sound_track(tmp_path):
    clip = make_clip(tmp_path / "mute.mp4", frames=3)
    assert probe(clip).channels == 0
    with pytest.raises(BadSampleError, match="no sound track"):
        next(read_sound(clip, sample_rate=16000, channels=1))


def test_cut_off_file_gives_what_is_there(tmp_path):
    clip = tmp_path / "a.mkv"
    make_clip(clip, frames=100)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    assert 1 <= len(list(read_frames(clip))) < 100


def test_writer_without_frames(tmp_path):
    writer = VideoWriter(tmp_path / "o.mp4", width=8, height=8, rate=Fraction(25))
    with pytest.raises(ValueError, match="no frame"):
        writer.close()


class TestSoundWindows:
    """Against slices of the whole sound; chunk sizes must not matter."""

    sound = np.arange(1000, dtype=np.float32)[None]

    def windows(self, length: int, chunk: int) -> SoundWindows:
        pieces = np.split(self.sound, range(chunk, 1000, chunk), axis=1)
        return SoundWindows(iter(pieces), length=length, sample_rate=100)

    @pytest.mark.parametrize("chunk", [7, 100, 1000])
    def test_centred(self, chunk):
        windows = self.windows(96, chunk)
        for time in (0.0, 0.1, 1.0, 1.0, 5.55, 9.4, 9.99, 12.0):
            begin = min(max(0, round(time * 100) - 48), 1000 - 96)
            np.testing.assert_array_equal(windows.at(time), self.sound[:, begin : begin + 96])

    def test_short_sound_repeats(self):
        window = SoundWindows(iter([self.sound[:, :30]]), length=70, sample_rate=100).at(0.1)
        np.testing.assert_array_equal(window[0], np.arange(70) % 30)

    def test_keeps_little(self):
        windows = self.windows(10, 5)
        for time in np.arange(0, 10, 0.01):
            windows.at(time)
            assert windows._kept.shape[1] <= 40
