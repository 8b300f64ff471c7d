"""What the inferencer takes beside videos: pictures, arrays, folders, and sounds of their own."""

import cv2
import numpy as np
import pytest
import soundfile
from clips import make_clip, moving_square, tone
from PIL import Image

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.video_io import probe


def test_no_sound_track(tmp_path, inferencer):
    clip = make_clip(tmp_path / "mute.mp4", frames=5)
    with pytest.raises(BadSampleError, match="mute.mp4.*no sound track.*--silent-ok"):
        inferencer(clip)
    result = inferencer(clip, silent_ok=True, out_dir=tmp_path / "out")
    assert result.segments == [] and result.summary() == "no object sounds"
    assert probe(result.files["overlay"]).channels == 0


def test_audio_takes_the_place_of_the_videos_own(tmp_path, inferencer):
    clip = make_clip(tmp_path / "mute.mp4", frames=25)
    other = make_clip(tmp_path / "other.mp4", sound=tone(1, 0, 1))
    result = inferencer(clip, audio=other, overlay=tmp_path / "o.mp4")
    assert result.summary() == "green square 0.0-1.0 s"
    assert probe(tmp_path / "o.mp4").channels == 2


def test_image_and_sound(tmp_path, inferencer):
    image = tmp_path / "still.jpg"
    cv2.imwrite(str(image), moving_square(0, 128, 96))
    sound = make_clip(tmp_path / "sound.mp4", sound=tone(1, 0.4, 0.6))
    for result in (inferencer((image, sound)), inferencer(image, audio=sound)):
        assert result.frames[0].time == pytest.approx(0.5, abs=0.03)
        assert [found.name for found in result.frames[0].objects] == ["green square"]
        assert result.frames[0].class_map.shape == (96, 128)
        assert result.summary() == "green square"
    assert inferencer((image, sound), start=0.1).frames[0].objects == []
    # Without a start it hears the middle, also of what --end leaves.
    early = inferencer(image, audio=sound, end=0.3, overlay=tmp_path / "o.png").frames[0]
    assert early.time == pytest.approx(0.15) and early.objects == []
    assert (tmp_path / "o.png").is_file()
    result = inferencer(image, audio=sound, out_dir=tmp_path / "out")
    with Image.open(result.files["overlay"]) as overlay:
        assert overlay.size == (128, 96) and result.files["overlay"].suffix == ".png"
    with pytest.raises(BadSampleError, match="still.jpg.*--audio"):
        inferencer(image)


def test_arrays(inferencer):
    frames = np.stack([moving_square(k) for k in range(4)])
    sound = tone(1, 0, 0.5)[0]
    result = inferencer((frames, (sound, 44100)))
    assert [frame.time for frame in result.frames] == pytest.approx([0.125, 0.375, 0.625, 0.875])
    assert [len(frame.objects) for frame in result.frames] == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="uint8"):
        inferencer((frames.astype(np.float32), sound))
    with pytest.raises(ValueError, match="sound of shape"):
        inferencer((frames, np.zeros((3, 4, 5))))


def test_integer_sound_is_of_full_scale():
    sound = np.array([[0, 16384, -32768]], np.int16)
    (clip,) = open_sources((moving_square(0), sound))
    (heard,) = clip.sound(16000, 1, 0.0, 3 / 16000)
    assert heard.tolist() == [[0, 0.5, -1]]


def test_folder_and_list(tmp_path, inferencer):
    folder = tmp_path / "folder"
    folder.mkdir()
    make_clip(folder / "b.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    cv2.imwrite(str(folder / "a.jpg"), moving_square(0))
    make_clip(folder / "sound.mp4", frames=3, sound=tone(1, 0, 1)).rename(folder / "a.m4a")
    results = inferencer(folder, out_dir=tmp_path / "out")
    assert sorted(result.name for result in results) == ["a", "b"]
    twice = inferencer([folder / "b.mp4", folder / "b.mp4"], out_dir=tmp_path / "two")
    assert {result.files["report"].parent.name for result in twice} == {"b", "b_2"}
    renamed = make_clip(tmp_path / "b_2.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    clips = [folder / "b.mp4", folder / "b.mp4", renamed]
    folders = [one.files["report"].parent.name for one in inferencer(clips, out_dir=tmp_path / "3")]
    assert folders == ["b", "b_2", "b_2_2"]
    with pytest.raises(ValueError, match="one file for 2 clips"):
        inferencer(folder, overlay=tmp_path / "o.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadSampleError, match="holds no video"):
        inferencer(tmp_path / "empty")


def test_an_image_is_read_when_its_turn_comes(tmp_path):
    """All of a folder's images at once would not fit into the memory."""
    picture = tmp_path / "a.png"
    cv2.imwrite(str(picture), moving_square(0))
    (clip,) = open_sources((picture, np.zeros(16000, np.float32)))
    cv2.imwrite(str(picture), moving_square(20))
    (frame,) = clip.frames(0.0, None)
    np.testing.assert_array_equal(frame.image, moving_square(20))


def test_avsbench_folder(tmp_path, inferencer):
    """Frame k goes with second k; labels beside the frames are left alone."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for second in (0, 1, 2, 10):
        cv2.imwrite(str(folder / f"{second}.jpg"), moving_square(second))
        cv2.imwrite(str(folder / f"{second}.png"), np.zeros((48, 64), np.uint8))
    make_clip(tmp_path / "s.mp4", sound=tone(4, 2, 4)).rename(folder / "audio.m4a")
    (result,) = inferencer(folder)
    assert [frame.time for frame in result.frames] == pytest.approx([0.48, 1.48, 2.48, 10.48])
    assert [len(frame.objects) for frame in result.frames] == [0, 0, 1, 0]
    assert result.summary() == "green square 2.0-10.0 s"  # as in the overlay, which holds masks
    (folder / "below").mkdir()
    (named,) = open_sources(folder / "below" / "..")
    assert named.name == "clip"
    (folder / "below").rmdir()
    # Another sound, in place of the folder's own or where there is none.
    other = make_clip(tmp_path / "other.mp4", sound=tone(4, 0, 1))
    for _ in range(2):
        (result,) = inferencer(folder, audio=other)
        assert [len(frame.objects) for frame in result.frames] == [1, 0, 0, 0]
        (folder / "audio.m4a").unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("names", "seconds"),
    [
        (("3.jpg", "0.jpg", "5.jpg"), [0, 3, 5]),  # AVSBench-semantic, one is missing
        (("1.jpg", "2.jpg"), [1, 2]),
        (("v_1.png", "v_2.png", "v_10.png"), [0, 1, 9]),  # S4 and MS3 count from 1
        (("dog.mp4_2.png", "dog.mp4_4.png"), [1, 3]),
        (("frame_000000.png", "frame_000001.png"), [0, 1]),
    ],
)
def test_a_numbered_frame_is_heard_at_its_own_second(tmp_path, names, seconds):
    (tmp_path / "clip" / "frames").mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(tmp_path / "clip" / "frames" / name), moving_square(0))
    sound = make_clip(tmp_path / "s.mp4", sound=tone(2, 0, 2))
    sound.rename(tmp_path / "clip" / "audio.m4a")
    (clip,) = open_sources(tmp_path / "clip")
    frames = list(clip.frames(0.0, None))
    assert clip.name == "clip" and clip.duration >= seconds[-1] + 1
    assert [frame.shown for frame in frames] == seconds
    assert [frame.time for frame in frames] == pytest.approx([k + 0.48 for k in seconds])


@pytest.mark.parametrize("names", [("a.jpg", "b.jpg"), ("a_1.jpg", "b_1.jpg"), ("1.jpg", "x.jpg")])
def test_frames_without_a_number_of_their_own_are_refused(tmp_path, names):
    for name in names:
        cv2.imwrite(str(tmp_path / name), moving_square(0))
    make_clip(tmp_path / "s.mp4", sound=tone(1, 0, 1)).rename(tmp_path / "sound.m4a")
    with pytest.raises(BadSampleError, match="not numbered.*0.jpg, 1.jpg"):
        open_sources(tmp_path)


def test_the_timeline_of_pictures_is_that_of_their_overlay(inferencer):
    """Each of four pictures stands for a second of the sound, and is heard in its middle."""
    pictures = np.stack([moving_square(index) for index in range(4)])
    result = inferencer((pictures, (tone(4, 1, 3), 44100)))
    assert [frame.time for frame in result.frames] == [0.5, 1.5, 2.5, 3.5]
    assert result.summary() == "green square 1.0-3.0 s"


def test_pictures_and_sounds_of_impossible_sizes_are_named(tmp_path):
    """A size that no picture has, and a sound shorter than a sample at 16 kHz."""
    picture, sound = tmp_path / "a.jpg", tmp_path / "a.wav"
    cv2.imwrite(str(picture), moving_square(0))
    soundfile.write(sound, np.zeros(1), 48000)
    with pytest.raises(BadSampleError, match=r"a\.wav.*shorter"):
        open_sources(picture, audio=sound)
    content = picture.read_bytes()
    size = content.index(b"\xff\xc0") + 5
    picture.write_bytes(content[:size] + b"\xea\x60\xea\x60" + content[size + 4 :])
    with pytest.raises(BadSampleError, match=r"a\.jpg: has more than 89478485 pixels"):
        open_sources(picture, audio=sound)


def test_names_with_digits_that_are_no_decimals_are_sorted_too(tmp_path):
    for name in ("1\N{SUPERSCRIPT TWO}3.mp4", "2.mp4", "10.mp4"):
        make_clip(tmp_path / name, sound=tone(1, 0, 1))
    assert [clip.name for clip in open_sources(tmp_path)][1:] == ["2", "10"]


def test_audio_takes_the_place_of_the_sounds_of_images(tmp_path, inferencer):
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), moving_square(0))
        make_clip(tmp_path / "s.mp4", sound=tone(1, 0, 1)).rename(tmp_path / f"{name}.m4a")
    assert [len(one.frames[0].objects) for one in inferencer(tmp_path)] == [1, 1]
    silence = make_clip(tmp_path / "silence.mp4", sound=tone(1, 0, 0)).rename(tmp_path / "s.sound")
    assert [len(one.frames[0].objects) for one in inferencer(tmp_path, audio=silence)] == [0, 0]
