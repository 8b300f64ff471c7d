"""The command line as a new user types it."""

import importlib
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest
from clips import click_track, loud, make_clip
from fake_segmentor import FakeSegmentor, write_model
from new_process import python
from typed_tools import run_tool

from projects.cpm_avs.media.video_io import probe

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def demo():
    return importlib.import_module("projects.cpm_avs.commands.demo")


@pytest.fixture
def model(tmp_path):
    config, checkpoint = write_model(tmp_path)
    return ["--config", str(config), "--checkpoint", str(checkpoint)]


def test_one_overlay(demo, model, tmp_path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", frames=20, sound=loud(0.8))
    out = tmp_path / "out.mp4"
    assert demo.main([str(clip), "--out", str(out), *model]) == 0
    printed = capsys.readouterr()
    assert "clip: green square 0.0-0.8 s" in printed.out and str(out) in printed.out
    assert "20/20 frames" in printed.err and "frames/s" in printed.err
    assert probe(out).frames == 20 and probe(out).channels == 1


def test_out_dir_and_all_options(demo, model, tmp_path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", frames=50)
    sound = make_clip(tmp_path / "sound.mp4", sound=loud(2))
    options = ["--fps", "5", "--start", "0.4", "--end", "1.2", "--device", "cpu", "--strip"]
    options += ["--batch-size", "2", "--out-dir", str(tmp_path / "out"), "--audio", str(sound)]
    assert demo.main([str(clip), *options, *model]) == 0
    assert "green square 0.4-1.2 s" in capsys.readouterr().out
    written = {path.name for path in (tmp_path / "out" / "clip").iterdir()}
    assert written == {".cpm_avs", "masks", "overlay.mp4", "report.json", "sound.png"}
    assert len(list((tmp_path / "out" / "clip" / "masks").iterdir())) == 4


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda path: make_clip(path, frames=3), "no sound track"),
        (lambda path: path.write_bytes(b"a letter" * 99), "no video or sound that can be read"),
        (lambda path: path.write_bytes(b""), "empty (0 bytes)"),
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "holds no video"),
    ],
)
def test_errors_are_one_sentence(demo, model, tmp_path, capsys, make, message):
    clip = tmp_path / "clip.mp4"
    make(clip)
    assert demo.main([str(clip), "--out", str(tmp_path / "o.mp4"), *model]) == 1
    printed = capsys.readouterr().err
    assert message in printed and "clip.mp4" in printed and "Traceback" not in printed
    assert not (tmp_path / "o.mp4").exists()


@pytest.mark.parametrize("name", ["dog barking [dQw4w9WgXcQ].mp4", "[/x].mp4"])
def test_brackets_in_a_name_are_no_markup(demo, model, tmp_path, capsys, name):
    clip = tmp_path / name
    out = ["--out", str(tmp_path / "o.mp4"), *model]
    assert demo.main([str(clip), *out]) == 1
    assert name in capsys.readouterr().err
    clip.parent.mkdir(exist_ok=True)
    make_clip(clip, frames=3, sound=loud(0.12))
    assert demo.main([str(clip), *out]) == 0
    assert clip.stem in capsys.readouterr().err  # beside the bar


@pytest.mark.parametrize(
    "options, message",
    [
        (["--device", "gpu"], "device 'gpu' can't be used here"),
        (["--device", "cuda:99"], "device 'cuda:99' can't be used here"),
    ],
)
def test_options_that_do_not_work_are_named(
    demo, model, tmp_path, capsys, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "clip.mp4", frames=3, sound=loud(0.12))
    assert demo.main(["clip.mp4", *options, *model]) == 1
    printed = capsys.readouterr().err
    assert message in printed and "Traceback" not in printed


def test_an_interrupt_leaves_what_was_there(model, tmp_path, capsys, monkeypatch):
    clip, out = make_clip(tmp_path / "clip.mp4", frames=9, sound=loud(0.36)), tmp_path / "out.mp4"
    out.write_text("of an earlier run")
    predict, batches = FakeSegmentor.predict, []

    def interrupted(self, *inputs):
        batches.append(inputs)
        if len(batches) == 2:
            raise KeyboardInterrupt
        return predict(self, *inputs)

    monkeypatch.setattr(FakeSegmentor, "predict", interrupted)
    before = {*tmp_path.iterdir()}
    with pytest.raises(SystemExit) as stop:
        run_tool(monkeypatch, "tools/demo.py", str(clip), "--out", str(out), *model)
    assert stop.value.code == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert {*tmp_path.iterdir()} == before and out.read_text() == "of an earlier run"


def test_the_bar_begins_anew_with_each_clip(demo, model, tmp_path, capsys, monkeypatch):
    make_clip(tmp_path / "first.mp4", frames=20, sound=loud(0.8))
    make_clip(tmp_path / "second.mp4", frames=3, sound=loud(0.12))
    monkeypatch.setattr(demo, "time", SimpleNamespace(perf_counter=partial(next, count())))
    assert demo.main([str(tmp_path), "--out-dir", str(tmp_path / "out"), *model]) == 0
    bar = capsys.readouterr().err
    # The clock that it asks goes on by a second a frame.
    assert "second" in bar and "3/3 frames 1.0 frames/s" in bar


def test_one_file_for_several_clips(demo, model, tmp_path, capsys):
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / name, frames=3, sound=loud(0.1))
    assert demo.main([str(tmp_path), "--out", str(tmp_path / "o.mp4"), *model]) == 1
    assert "2 clips; give --out-dir" in capsys.readouterr().err


def test_one_bad_clip_does_not_stop_the_others(demo, model, tmp_path, capsys):
    make_clip(tmp_path / "a.mp4", frames=3)
    make_clip(tmp_path / "b.mp4", frames=3, sound=loud(0.12))
    out = tmp_path / "out"
    assert demo.main([str(tmp_path), "--out-dir", str(out), *model]) == 1
    printed = capsys.readouterr()
    assert "a.mp4: has no sound track" in printed.err and "b: green square" in printed.out
    assert (out / "b" / "overlay.mp4").exists() and not (out / "a").exists()


def test_tracks_and_what_is_left_out_are_told(demo, model, tmp_path, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    clip = make_clip(folder / "a.mp4", frames=3, sound=loud(0.12))
    (folder / "[notes].txt").write_text("no film")
    out = ["--out-dir", str(tmp_path / "out"), *model]
    assert demo.main([str(folder), "--audio-track", "1", *out]) == 0
    assert "note: " in (told := capsys.readouterr().err) and "left out [notes].txt (it is" in told
    assert demo.main([str(clip), "--audio-track", "2", *out]) == 1
    assert "no sound track 2. There are: 1 (" in capsys.readouterr().err


def test_silent_ok(demo, model, tmp_path, capsys):
    clip = make_clip(tmp_path / "clip.mp4", frames=3)
    out = ["--out", str(tmp_path / "o.mp4"), "--silent-ok"]
    assert demo.main([str(clip), *out, *model]) == 0
    told = capsys.readouterr()
    assert "no object sounds" in told.out and "knows: green square, red patch" in told.err


def test_one_frame_late_sound_and_short_sound(demo, model, tmp_path):
    one = make_clip(tmp_path / "one.mp4", frames=1, sound=loud(0.04))
    late = make_clip(tmp_path / "late.mp4", sound=click_track(0.3, (0.1,)), sound_start=0.5)
    for clip in (one, late):
        out = tmp_path / f"{clip.stem}_out.mp4"
        assert demo.main([str(clip), "--out", str(out), *model]) == 0
        before, after = probe(clip), probe(out)
        assert after.frames == before.frames
        assert after.duration == pytest.approx(before.duration, abs=0.04)


def test_help_as_a_script():
    done = python("tools/demo.py", "--help")
    assert done.returncode == 0 and "--silent-ok" in done.stdout, done.stderr
    assert done.stdout.startswith("usage")  # no library has its say before


def test_the_config_is_read_where_nothing_of_training_is_imported():
    """As in a process of its own, which these tests' is not."""
    code = (
        "import sys\n"
        "from projects.cpm_avs.inference.model_loading import load_config\n"
        "from projects.cpm_avs.launch import read_config\n"
        "assert read_config(None, read=load_config).model.type == 'AVSegmentor'\n"
        "assert not [name for name in sys.modules if name.endswith('cpm_avs.training')]\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
