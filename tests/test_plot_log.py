"""The figure of a run's curves."""

import json
from pathlib import Path

import cv2
import pytest

from projects.cpm_avs.commands import plot_log


def write_log(run_dir: Path, start: str, *lines: dict, tail: str = "") -> Path:
    path = run_dir / start / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return path


def train(iteration: int, loss: float, **more) -> dict:
    return dict(loss=loss, iter=iteration, step=iteration, **more)


def test_a_resumed_run_keeps_what_was_trained_last(tmp_path):
    write_log(tmp_path, "20260101_000000", train(10, 3.0), train(20, 2.0), train(30, 9.0))
    write_log(tmp_path, "20260102_000000", train(20, 2.5), dict(STS=0.5, step=24), train(30, 1.0))
    run = plot_log.read_run(tmp_path, "run")
    assert run.curves["loss"] == [(10, 3.0), (20, 2.5), (30, 1.0)]
    assert run.curves["STS"] == [(24, 0.5)]


def test_a_curve_that_a_resumed_run_does_all_again_is_forgotten(tmp_path):
    """As after a kill before the first checkpoint, with nothing of it logged again yet."""
    write_log(tmp_path, "20260101_000000", train(10, 3.0), dict(STS=0.5, step=24))
    write_log(tmp_path, "20260102_000000", dict(iter=10, step=10, loss=2.0))
    assert plot_log.read_run(tmp_path, "run").curves.keys() == {"loss", "iter", "step"}


def test_validations_of_epochs_stand_at_their_iteration(tmp_path):
    write_log(
        tmp_path,
        "a",
        train(100, 3.0, epoch=1),
        {"dataset/mIoU": 10.0, "step": 1},
        train(200, 2.0, epoch=2),
        {"dataset/mIoU": 20.0, "step": 2},
    )
    run = plot_log.read_run(tmp_path, "run")
    assert run.curves["dataset/mIoU"] == [(100, 10.0), (200, 20.0)]


def test_validations_of_iterations_keep_theirs(tmp_path):
    write_log(tmp_path, "a", train(100, 3.0), {"coverage": 0.4, "step": 120})
    assert plot_log.read_run(tmp_path, "run").curves["coverage"] == [(120, 0.4)]


def test_a_line_cut_off_by_a_kill_is_left_out_and_a_damaged_one_named(tmp_path):
    write_log(tmp_path / "killed", "a", train(10, 3.0), tail='{"loss": 2.')
    assert plot_log.read_run(tmp_path / "killed", "run").curves["loss"] == [(10, 3.0)]
    path = write_log(tmp_path / "bad", "a", train(10, 3.0), tail="garbage\n{}\n")
    with pytest.raises(ValueError, match=f"{path.name}:2"):
        plot_log.read_run(tmp_path / "bad", "run")


def test_the_figure_is_drawn_with_missing_curves(tmp_path, capsys):
    full = {"dataset/mIoU": 10.0, "coverage": 0.3, "step": 20}
    write_log(tmp_path / "full", "a", train(10, 3.0), full, dict(STS=1.0, step=20))
    write_log(tmp_path / "poor" / "full", "a", train(10, 2.0))
    out = tmp_path / "new" / "curves.png"
    plot_log.main([str(tmp_path / "full"), str(tmp_path / "poor" / "full"), "--out", str(out)])
    assert cv2.imread(str(out)).shape[0] > 500
    assert str(out) in capsys.readouterr().out


def test_curves_of_another_protocol_and_of_runs_with_one_name_are_told_apart(tmp_path, monkeypatch):
    labels = []
    monkeypatch.setattr(
        plot_log.plt.Figure,
        "savefig",
        lambda figure, path, **_: (
            path.touch(),
            labels.extend(line.get_label() for axis in figure.axes for line in axis.lines),
        ),
    )
    for group, key in (("x", "dataset/mIoU"), ("y", "avsbench/J")):
        write_log(tmp_path / group / "run", "a", {key: 1.0, "ss/dataset/mIoU": 2.0, "step": 5})
    runs = [str(tmp_path / group / "run") for group in "xy"]
    plot_log.main([*runs, "--out", str(tmp_path / "curves.png")])
    assert labels == ["x/run", "y/run (avsbench/J)"]


def test_several_runs_are_not_read_as_one(tmp_path):
    for seed in ("seed0", "seed1"):
        write_log(tmp_path / seed, "a", train(10, 3.0))
    with pytest.raises(FileNotFoundError, match="Name a work_dir"):
        plot_log.read_run(tmp_path, "run")


def test_a_folder_without_a_log_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        plot_log.main([str(tmp_path / "nothing"), "--out", str(tmp_path / "curves.png")])
    assert "nothing: no log" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "nothing is logged in it yet"),
        (b"{}\n{}\n", "nothing is logged in it yet"),
        (b"[1, 2]\n", "scalars.json:1: no line of a log"),
        (b'{"iter": 1, "loss": 2}\n"text"\n{}\n', "scalars.json:2: no line of a log"),
        (b"null\n", "scalars.json:1: no line of a log"),
        (b"3\n", "scalars.json:1: no line of a log"),
        (b'{"iter": "ten", "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"iter": [1], "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"iter": NaN, "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"step": -Infinity, "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"step": true, "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"iter": 1' + b"0" * 400 + b', "loss": 2}\n', "scalars.json:1: no line of a log"),
        (b'{"iter": 1' + b"0" * 5000 + b', "loss": 2}\n{}\n', "scalars.json:1: not a line of JSON"),
        (bytes(range(256)), "scalars.json:1: not a line of JSON"),
        (b"\x89PNG", "scalars.json:1: not a line of JSON"),
        (b"[" * 100_000, "scalars.json:1: not a line of JSON"),
        (b'{"iter": 1}\n' + b'{"a":' * 100_000 + b"\n{}\n", "scalars.json:2: not a line of JSON"),
    ],
)
def test_what_is_no_log_is_told_by_its_line(tmp_path, capsys, content, sentence):
    write_log(tmp_path / "run", "a").write_bytes(content)
    with pytest.raises(SystemExit) as end:
        plot_log.main([str(tmp_path / "run"), "--out", str(tmp_path / "curves.png")])
    said = capsys.readouterr().err.splitlines()[-1]
    assert end.value.code == 2 and sentence in said and str(tmp_path / "run") in said
    assert not (tmp_path / "curves.png").exists()


def test_odd_values_of_a_log_are_not_drawn(tmp_path):
    odd = b'{"iter": 2, "loss": NaN, "STS": Infinity, "mode": "train", "ok": true, "list": [1]}\n'
    huge = b'{"iter": 3, "loss": 1' + b"0" * 400 + b', "deep": {"a": {"b": 1}}}\n'
    path = write_log(tmp_path / "run", "a")
    path.write_bytes(b'\xef\xbb\xbf{"iter": 1, "loss": 2.5}\n' + odd + huge)
    curves = plot_log.read_run(tmp_path / "run", "run").curves
    assert curves.keys() == {"iter", "loss"}
    assert curves["loss"][0] == (1, 2.5) and len(curves["loss"]) == 2
    out = tmp_path / "curves.png"
    plot_log.main([str(tmp_path / "run"), "--out", str(out)])
    assert cv2.imread(str(out)).shape[0] > 500
