"""What a user's folders and files hold: found by their content, and what is left out is named."""

import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile
from clips import click_track, make_clip, moving_square
from PIL import Image

from projects.cpm_avs.errors import BadSampleError, UserError
from projects.cpm_avs.inference.clip import read_image
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.kinds import PICTURES, kind_of
from projects.cpm_avs.media.video_io import probe


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    samples = 0.1 * np.sin(np.arange(round(16000 * seconds)) / 10)
    soundfile.write(path, samples, 16000, format="WAV")
    return path


def write_picture(path: Path, format: str) -> Path:
    Image.fromarray(moving_square(0)[..., ::-1]).save(path, format=format)
    return path


def write_animation(path: Path) -> Path:
    first, *others = (Image.fromarray(moving_square(k)[..., ::-1]) for k in range(5))
    first.save(path, save_all=True, append_images=others, duration=100)
    return path


def heard(clip) -> float:
    """Root mean square of what the model hears."""
    chunks = [*clip.sound(16000, 1, 0.0, clip.duration)]
    return float(np.sqrt(np.square(np.concatenate(chunks, axis=1)).mean()))


def make_tracks(path: Path, levels: dict[str, float], default: int | None = None) -> Path:
    """A clip with a sound track of each level, by language; the one of that number is marked."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks = [container.add_stream("aac", rate=44100, layout="mono") for _ in levels]
        for number, (track, language) in enumerate(zip(tracks, levels, strict=True), start=1):
            track.metadata["language"] = language
            marked = av.stream.Disposition.default
            track.disposition = marked if number == default else av.stream.Disposition(0)
        for k in range(25):
            picture = av.VideoFrame.from_ndarray(moving_square(k), format="bgr24")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        for track, level in zip(tracks, levels.values(), strict=True):
            if level < 0:  # a track without a sample
                continue
            sound = np.float32(level) * np.sin(np.arange(44100, dtype=np.float32) / 10)[None]
            frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = 44100, Fraction(1, 44100)
            container.mux(track.encode(frame))
            container.mux(track.encode(None))
    return path


class TestFolder:
    def test_videos_of_any_name(self, tmp_path):
        sound = click_track(0.4, (0.1,))
        for name in ("a.MP4", "b.flv", "c.MTS", "d.m2ts", "e.VOB", "f.mkv", "g.ts", "h", "i.film"):
            stem, suffix = name[0], Path(name).suffix
            made = {"": ".mp4", ".film": ".mov", ".MP4": ".mp4", ".MTS": ".ts", ".VOB": ".vob"}
            clip = make_clip(tmp_path / f"x{made.get(suffix, suffix)}", frames=10, sound=sound)
            clip.rename(tmp_path / name)
            assert stem in "abcdefghi"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert "".join(clip.name for clip in open_sources(tmp_path)) == "abcdefghi"

    @pytest.mark.parametrize(
        "name, format",
        [
            ("a.jfif", "JPEG"), ("a.jpe", "JPEG"), ("a.JPG", "JPEG"), ("a.Png", "PNG"),
            ("a.webp", "WEBP"), ("a.tga", "TGA"), ("a", "BMP"), ("a.gif", "GIF"), ("a.tif", "TIFF"),
        ],
    )  # fmt: skip
    def test_pictures_of_any_name(self, tmp_path, name, format):
        write_picture(tmp_path / name, format)
        write_sound(tmp_path / "a.oga")
        (clip,) = open_sources(tmp_path)
        assert not clip.is_video
        np.testing.assert_allclose(read_image(tmp_path / name)[2, 8], (0, 0, 255), atol=8)
        (alone,) = open_sources(tmp_path / name, audio=tmp_path / "a.oga")
        assert alone.name == "a"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
    def test_pictures_are_turned_upright(self, tmp_path, format):
        """OpenCV passes over the orientation of some formats."""
        if format not in PICTURES:
            pytest.skip(f"this Pillow reads no {format}")
        orientation = Image.Exif()
        orientation[0x0112] = 6  # to be turned clockwise
        picture = Image.fromarray(np.rot90(moving_square(0)[..., ::-1]))
        picture.save(tmp_path / "a", format=format, exif=orientation)
        image = read_image(tmp_path / "a")
        assert image.shape == (48, 64, 3)
        np.testing.assert_allclose(image[2, 8], (0, 0, 255), atol=16)

    def test_a_picture_that_nothing_here_reads(self, tmp_path):
        (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
        with pytest.raises(BadSampleError, match="a.heic: is no picture.* Save it as jpg or png"):
            open_sources(tmp_path / "a.heic", audio=tmp_path / "a.wav")

    def test_what_is_left_out_is_named(self, tmp_path):
        make_clip(tmp_path / "a.mp4", frames=3, sound=click_track(0.1, (0.0,)))
        write_picture(tmp_path / "lonely.png", "PNG")
        write_sound(tmp_path / "other.wav")
        (tmp_path / "notes.txt").write_text("not a film")
        with pytest.warns(UserWarning) as told:
            (clip,) = open_sources(tmp_path)
        (message,) = [str(warning.message) for warning in told]
        for words in (
            "lonely.png (it is a picture",
            "other.wav (it is a sound",
            "notes.txt (it is",
        ):
            assert words in message

    def test_hidden_files_and_litter_are_not_looked_at(self, tmp_path):
        clip = make_clip(tmp_path / "a.mp4", frames=3, sound=click_track(0.1, (0.0,)))
        (tmp_path / "._a.mp4").write_bytes(b"\0\5\x16\7" + bytes(100))  # of a Mac
        (tmp_path / ".b.mp4").write_bytes(clip.read_bytes())
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store"):
            (tmp_path / name).write_bytes(b"something")
        (tmp_path / "__MACOSX").mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [one.name for one in open_sources(tmp_path)] == ["a"]

    def test_a_file_that_calls_itself_a_video_is_an_error(self, tmp_path):
        make_clip(tmp_path / "a.mp4", frames=3, sound=click_track(0.1, (0.0,)))
        (tmp_path / "b.wmv").write_bytes(b"")
        (tmp_path / "c.mp4").mkdir()
        errors: list[ValueError] = []
        assert len(open_sources(tmp_path, on_error=errors.append)) == 1
        assert "b.wmv: is empty" in str(errors[0]) and len(errors) == 1

    def test_animations(self, tmp_path):
        for name in ("a.gif", "b.png"):
            assert kind_of(write_animation(tmp_path / name)) == "video"
            (clip,) = open_sources(tmp_path / name, silent_ok=True)
            assert clip.num_frames == 5 and clip.duration == pytest.approx(0.5, abs=0.02)
        with pytest.raises(BadSampleError, match="c.webp: is an animated WEBP.*mp4 or gif"):
            kind_of(write_animation(tmp_path / "c.webp"))

    def test_a_folder_in_place_of_a_file(self, tmp_path):
        write_picture(tmp_path / "a.png", "PNG")
        (tmp_path / "b.wav").mkdir()
        with pytest.raises(BadSampleError, match="b.wav: is a folder"):
            open_sources(tmp_path / "a.png", audio=tmp_path / "b.wav")


class TestNumberedPictures:
    def write(self, folder: Path, count: int, seconds: float, first: int = 0) -> Path:
        for index in range(count):
            cv2.imwrite(str(folder / f"{index + first:04}.jpg"), moving_square(index))
        write_sound(folder / "sound.wav", seconds)
        return folder

    def test_more_than_one_a_second_are_refused_with_their_rate(self, tmp_path):
        with pytest.raises(BadSampleError, match=r"75 numbered.*75.0 s.*3.0 s.*--picture-rate 25"):
            open_sources(self.write(tmp_path, 75, 3.0))

    @pytest.mark.parametrize("first", [0, 1])
    def test_their_rate(self, tmp_path, first):
        self.write(tmp_path, 75, 3.0, first)
        if first:
            (tmp_path / "0001.jpg").rename(tmp_path / "frame_0001.jpg")
            for path in sorted(tmp_path.glob("0*.jpg")):
                path.rename(tmp_path / f"frame_{path.name}")
        (clip,) = open_sources(tmp_path, picture_rate=25)
        frames = [*clip.frames(0.0, None)]
        assert clip.duration == pytest.approx(3.0) and clip.rate == 25
        assert [frame.shown for frame in frames] == pytest.approx([k / 25 for k in range(75)])
        assert frames[10].time == pytest.approx(0.4 + 0.48 / 25)
        assert len([*clip.frames(1.0, 2.0)]) == 25

    def test_another_length_is_told(self, tmp_path):
        with pytest.warns(UserWarning, match=r"pictures last 5.0 s .*sound 10.0 s.*--picture-rate"):
            open_sources(self.write(tmp_path, 5, 10.0))

    def test_names_that_are_dates_are_no_seconds(self, tmp_path):
        with pytest.raises(BadSampleError, match=r"number 20240101, .*lasts 2.0 s.*from 0"):
            open_sources(self.write(tmp_path, 2, 2.0, first=20240101))

    @pytest.mark.parametrize("rate", [0, -1, float("nan"), "x"])
    def test_no_rate(self, tmp_path, rate):
        with pytest.raises(UserError, match="picture_rate="):
            open_sources(tmp_path, picture_rate=rate)


class TestSoundTracks:
    def test_default_and_choice(self, tmp_path):
        path = make_tracks(tmp_path / "a.mkv", {"eng": 0.1, "deu": 0.4}, default=2)
        loudness = [
            heard(*open_sources(path, audio_track=track)) for track in (None, 1, 2)
        ]  # fmt: skip
        expected = [0.4 / 2**0.5, 0.1 / 2**0.5, 0.4 / 2**0.5]
        assert loudness == pytest.approx(expected, rel=0.1)
        # Without a mark it is the first.
        unmarked = make_tracks(tmp_path / "b.mkv", {"eng": 0.1, "deu": 0.4})
        assert heard(*open_sources(unmarked)) == pytest.approx(0.1 / 2**0.5, rel=0.1)
        # Another file's tracks, beside a picture or in place of the video's own.
        picture = write_picture(tmp_path / "a.png", "PNG")
        for source in (picture, unmarked):
            clip = open_sources(source, audio=path, audio_track=1)
            assert heard(*clip) == pytest.approx(0.1 / 2**0.5, rel=0.1)

    def test_a_track_that_is_not_there(self, tmp_path):
        path = make_tracks(tmp_path / "a.mkv", {"eng": 0.1, "deu": 0.4})
        with pytest.raises(BadSampleError, match=r"track 3.*1 \(eng, aac, mono\), 2 \(deu"):
            open_sources(path, audio_track=3)
        for wrong in (0, -1, 1.5, True):
            with pytest.raises(UserError, match="audio_track="):
                open_sources(path, audio_track=wrong)

    def test_an_empty_track_is_none(self, tmp_path):
        path = make_tracks(tmp_path / "a.mkv", {"eng": -1.0})
        assert probe(path).channels == 0
        with pytest.raises(BadSampleError, match="no sound track, or an empty one"):
            open_sources(path)
        (clip,) = open_sources(path, silent_ok=True)
        assert heard(clip) == 0 and clip.num_frames == 25
        with pytest.raises(BadSampleError, match="shorter than one sample"):
            open_sources(make_clip(tmp_path / "b.mp4", frames=2), audio=path)

    def test_covers_and_thumbnails_are_no_pictures(self, tmp_path):
        """Music with a cover is a sound; the picture track beside a thumbnail is the video."""
        path = tmp_path / "song.mp3"
        with av.open(str(path), "w") as container:
            sound = container.add_stream("libmp3lame", rate=44100, layout="mono")
            cover = container.add_stream("png")
            cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(moving_square(0), format="bgr24")
            container.mux(cover.encode(picture.reformat(format="rgb24")))
            frame = av.AudioFrame.from_ndarray(click_track(1, (0.1,)), "fltp", "mono")
            frame.sample_rate = 44100
            container.mux([*sound.encode(frame), *sound.encode(None)])
        assert kind_of(path) == "sound"
        with pytest.raises(BadSampleError, match="no picture track"):
            open_sources(path)
