"""What the inferencer writes, and what it leaves alone, also where it fails."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from clips import make_clip, moving_square, tone

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.sound_io import read_sound
from projects.cpm_avs.media.video_io import probe, read_frames


def test_an_overlay_of_pictures_has_the_whole_sound(tmp_path, inferencer):
    frames = np.stack([moving_square(k) for k in range(2)])
    inferencer((frames, (tone(2, 0, 0.5)[0], 44100)), overlay=tmp_path / "o.mp4")
    made = probe(tmp_path / "o.mp4")
    assert made.duration == pytest.approx(2, abs=0.05)
    assert [frame.time for frame in read_frames(tmp_path / "o.mp4")] == pytest.approx([0, 1])
    loud = np.concatenate(list(read_sound(tmp_path / "o.mp4", sample_rate=16000, channels=1)), 1)
    assert np.abs(loud[0, 1600:6400]).max() > 0.4 > 0.05 > np.abs(loud[0, 9600:]).max()


@pytest.mark.parametrize("name", ["o", "o.png", "o.part"])
def test_an_overlay_needs_the_name_of_a_video(tmp_path, inferencer, name):
    clip = make_clip(tmp_path / "clip.mp4", frames=3, sound=tone(0.2, 0, 0.2))
    with pytest.raises(ValueError, match=f"{name}: the overlay is a video; give .*mp4"):
        inferencer(clip, overlay=tmp_path / name)


def test_the_other_clips_go_on(tmp_path, inferencer):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "broken.mp4").write_bytes(b"a letter" * 99)
    make_clip(folder / "good.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    make_clip(folder / "short.mp4", frames=2, sound=tone(0.08, 0, 0.08))
    make_clip(folder / "silent.mp4", frames=3)
    missing = tmp_path / "missing.mp4"
    errors, seen = [], []
    (result,) = inferencer(
        [folder, missing],
        out_dir=tmp_path / "out",
        start=0.1,
        on_error=errors.append,
        progress=lambda clip, done, total: seen.append((clip.name, done, total)),
    )
    assert result.name == "good" and seen == [("good", 1, 2), ("good", 2, 2)]
    messages = [str(error) for error in errors]
    named = ["broken.mp4", "silent.mp4: has no", f"{missing}: does not", "'short'"]
    assert [name in message for name, message in zip(named, messages, strict=True)] == [True] * 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good"]
    with pytest.raises(BadSampleError, match=r"broken\.mp4"):
        inferencer(folder)
    # Of one source there are no others, so the error is raised.
    with pytest.raises(BadSampleError, match=r"broken\.mp4"):
        inferencer(folder / "broken.mp4", on_error=errors.append)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_no_half_result(tmp_path, inferencer, monkeypatch, error):
    """No half video, no report that says that nothing sounded; an earlier video stays."""
    clip = make_clip(tmp_path / "c.mp4", frames=20, sound=tone(1, 0, 1))
    out = tmp_path / "out"
    (earlier,) = inferencer([clip], out_dir=out)
    before = earlier.files["overlay"].read_bytes()
    calls = []

    def fail(*args):
        calls.append(args)
        if len(calls) > 1:
            raise error("out of memory")
        return original(*args)

    original = inferencer.predict
    monkeypatch.setattr(inferencer, "predict", fail)
    with pytest.raises(error):
        inferencer(clip, out_dir=out, overlay=tmp_path / "o.mp4")
    assert not list(tmp_path.glob("*o.*mp4")) and not earlier.files["report"].exists()
    calls.clear()
    with pytest.raises(error):
        inferencer(clip, out_dir=out)
    assert earlier.files["overlay"].read_bytes() == before
    left = {path.name for path in (out / "c").iterdir()}
    assert left == {".cpm_avs", "masks", "overlay.mp4", "sound.png"}


def test_what_is_finished_stays_when_the_figure_fails(tmp_path, inferencer, monkeypatch):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=tone(0.2, 0, 0.2))

    def full(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match="No space left"):
        inferencer(clip, out_dir=tmp_path / "out")
    assert probe(tmp_path / "out" / "c" / "overlay.mp4").frames == 5
    report = json.loads((tmp_path / "out" / "c" / "report.json").read_text())
    assert len(report["frames"]) == 5 and report["sounding"]


def test_the_source_is_never_written_to(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=tone(0.2, 0, 0.2))
    sound = make_clip(tmp_path / "sound.mp4", sound=tone(5, 0, 5))
    image = tmp_path / "still.png"
    cv2.imwrite(str(image), moving_square(0))
    (tmp_path / "link.mp4").symlink_to(clip)
    before = {path: path.read_bytes() for path in (clip, sound, image)}
    for source, options in (
        (clip, dict(overlay=clip)),
        (clip, dict(overlay=tmp_path / "link.mp4")),
        (clip, dict(overlay=sound, audio=sound)),
        (image, dict(overlay=image, audio=sound)),
    ):
        with pytest.raises(ValueError, match="the clip itself is read from it; write to another"):
            inferencer(source, **options)
    assert {path: path.read_bytes() for path in before} == before
    # Of two clips the second is read where the first one would be written.
    masks = inferencer(clip, out_dir=tmp_path / "out").files["masks"]
    sound.rename(masks / "sound.m4a")
    frames = {path: path.read_bytes() for path in masks.iterdir()}
    with pytest.raises(ValueError, match=r"frame_00000\d\.png: the clip itself"):
        inferencer([clip, masks], out_dir=tmp_path / "out")
    assert {path: path.read_bytes() for path in frames} == frames


def test_masks_of_an_earlier_run_are_removed(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=25, sound=tone(1, 0, 1))
    for fps, count in ((None, 25), (2, 2)):
        result = inferencer(clip, out_dir=tmp_path / "out", fps=fps)
        masks = sorted(path.name for path in result.files["masks"].iterdir())
        report = json.loads(result.files["report"].read_text())
        assert masks == [frame["mask"] for frame in report["frames"]] and len(masks) == count


def test_a_clip_without_a_frame_is_no_success(tmp_path, inferencer):
    clip = make_clip(tmp_path / "c.mp4", frames=25, sound=tone(1, 0, 1))
    (opened,) = open_sources(clip)
    empty = replace(opened, frames=lambda start, end: iter(()))
    with pytest.raises(ValueError, match="'c' has no frame from 0 to 0.5 s"):
        inferencer(empty, end=0.5, out_dir=tmp_path / "out")
    left = {path.name for path in (tmp_path / "out" / "c").iterdir()}
    assert left == {".cpm_avs", "masks"}
