"""Results go into a folder of a harmless name, and nothing of the user's is touched there."""

import json
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from fake_segmentor import write_model

from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.output_names import clean_name, result_folder

LOUD = np.resize(np.repeat([0.5, -0.5], 20), (1, 8820)).astype(np.float32)


@pytest.fixture(scope="module")
def inferencer(tmp_path_factory):
    return AVSInferencer(*write_model(tmp_path_factory.mktemp("model")), device="cpu")


@pytest.mark.parametrize(
    "name, clean",
    [
        ("dog", "dog"),
        ("12:30 a?", "12_30 a_"),
        ("..", "clip"),
        (".", "clip"),
        ("", "clip"),
        (" . ", "clip"),
        (".mp4", "mp4"),
        ("a/../b", "a_.._b"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\up", "_up"),
        ("a\nb\0c\x1b[2J", "a_b_c_[2J"),
        ("\udcff", "_"),
        ("CON", "CON_"),
        ("com1.old", "com1.old_"),
        ("console", "console"),
        ("\u00e9" * 200, "\u00e9" * 100),
        ("x" + "\u00e9" * 200, "x" + "\u00e9" * 99),
        ("e\u0301", "\u00e9"),
    ],
)
def test_clean_name(name, clean):
    assert clean_name(name) == clean


def test_each_clip_of_a_run_has_its_own_folder(tmp_path):
    taken: set[str] = set()
    names = ["a", "A", "a_2", "a:", "a?", "..", "."]
    folders = [result_folder(tmp_path, name, taken).name for name in names]
    assert folders == ["a", "A_2", "a_2_2", "a_", "a__2", "clip", "clip_2"]
    assert result_folder(tmp_path, "a", set()).name == "a"  # of an earlier run


@pytest.mark.parametrize("name", ["...mp4", "..mp4", ".hidden.mp4", "a\nb.mp4", "x" * 251 + ".mp4"])
def test_odd_names_stay_inside(inferencer, tmp_path, name):
    """`...mp4` has the stem `..`: its results went to the parent, over what lay there."""
    others = {"report.json": b"mine", "masks/frame_000000.png": b"mine", "overlay.mp4": b"mine"}
    out = tmp_path / "mine" / "out"
    for folder in (out, out.parent):
        (folder / "masks").mkdir(parents=True)
        for other, content in others.items():
            (folder / other).write_bytes(content)
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=LOUD).rename(tmp_path / name)
    result = inferencer(clip, out_dir=out)
    assert {path.parent.parent for path in result.files.values()} == {out}
    assert json.loads(result.files["report"].read_text())["clip"] == Path(name).stem
    for folder in (out, out.parent):
        assert {other: (folder / other).read_bytes() for other in others} == others


def test_a_folder_of_the_users_is_left_alone(inferencer, tmp_path):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=LOUD)
    out = tmp_path / "out"
    mine = out / "c" / "masks" / "frame_000009.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert inferencer(clip, out_dir=out).files["masks"] == out / "c_2" / "masks"
    note = out / "c_2" / "masks" / "frame_best.png"
    note.write_bytes(b"mine")
    again = inferencer(clip, out_dir=out, fps=5)
    assert again.files["masks"] == out / "c_2" / "masks"
    assert mine.read_bytes() == note.read_bytes() == b"mine"
    assert sorted(path.name for path in note.parent.iterdir()) == ["frame_000000.png", note.name]


def test_links_lead_nowhere(inferencer, tmp_path):
    """Neither a link in the place of the folder nor of what lies in it."""
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=LOUD)
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    out.mkdir()
    (mine / "frame_000001.png").write_bytes(b"mine")
    (out / "c").symlink_to(mine)
    (out / "c_2").symlink_to(tmp_path / "nowhere")
    result = inferencer(clip, out_dir=out)
    assert result.files["report"].parent == out / "c_3"
    for file in ("overlay", "report", "figure"):
        result.files[file].unlink()
        result.files[file].symlink_to(mine / "frame_000001.png")
    inferencer(clip, out_dir=out)
    assert [path.read_bytes() for path in mine.iterdir()] == [b"mine"]
    assert not any(path.is_symlink() for path in result.files.values())


def test_a_long_name_for_the_overlay(inferencer, tmp_path):
    clip = make_clip(tmp_path / "c.mp4", frames=5, sound=LOUD)
    result = inferencer(clip, overlay=tmp_path / ("x" * 251 + ".mp4"))
    assert result.files["overlay"].is_file()
