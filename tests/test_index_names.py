"""Names in a downloaded index: none leads out of the data set's folder, to read or to write."""

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmark_trees import make_avss, make_mixed_vpo, make_ms3, make_s4, make_vpo, write_csv
from clips import make_clip
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import projects.cpm_avs  # noqa: F401
from projects.cpm_avs.datasets.benchmarks.avsbench import MS3_COLUMNS
from projects.cpm_avs.datasets.benchmarks.class_names import check_label2idx
from projects.cpm_avs.datasets.benchmarks.clip_index import read_table
from projects.cpm_avs.datasets.prepare import check, frames
from projects.cpm_avs.errors import BadSampleError

LEADING_OUT = [
    "../../../../v",
    "a/../../../v",
    "/etc/passwd",
    "..",
    "a\0b",
    r"..\..\v",
    r"v1s\a",
    "C:/v",
    "C:v",
    r"\\host\v",
]


def run(command: object, *arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(map(str, arguments))))


def change(index: Path, column: int, value: str, line: int = 1) -> None:
    """Put a value into the first row of an index."""
    with index.open(newline="") as file:
        rows = list(csv.reader(file))
    rows[line][column] = value
    write_csv(index, *rows)


@pytest.mark.parametrize("name", [*LEADING_OUT, ".", "x" * 201])
def test_a_name_that_is_none_is_a_fault_of_its_row(tmp_path: Path, name: str) -> None:
    write_csv(tmp_path / "a.csv", ("video_id", "split"), (name, "train"), ("good one.b..c", "test"))
    first, second = read_table(tmp_path / "a.csv", MS3_COLUMNS).rows
    assert "leads out" in first.fault or "is empty" in first.fault or "200 bytes" in first.fault
    assert second.fault == ""


@pytest.mark.parametrize("name", LEADING_OUT)
@pytest.mark.parametrize("benchmark", ["s4", "ms3"])
def test_frames_are_cut_below_the_root_only(
    tmp_path: Path, benchmark: str, name: str, capsys: pytest.CaptureFixture
) -> None:
    root = tmp_path / "deep" / "er" / "root"
    header = ("name", "x", "category", "split") if benchmark == "s4" else ("video_id", "split")
    row = (name, 0, "cat", "train") if benchmark == "s4" else (name, "train")
    write_csv(root / f"{benchmark}_meta_data.csv", header, row)
    videos = root / f"{benchmark}_data" / "raw_videos"
    videos /= "train/cat" if benchmark == "s4" else ""
    if "\0" not in name:  # it would find its video
        place = videos / f"{name}.mp4"
        if place.is_relative_to(tmp_path):
            place.parent.mkdir(parents=True, exist_ok=True)
            make_clip(Path(f"{place.parent.resolve()}/{place.name}"), frames=3, rate=1)
    before = sorted(tmp_path.rglob("*"))
    assert run(frames, benchmark, "--root", root, "--overwrite") == 1
    assert sorted(tmp_path.rglob("*")) == before
    assert "leads out of the data set's folder" in capsys.readouterr().err


SPLIT_OF_VAL = {"vpo-ms": "test"}
CASES = [  # benchmark, how to make its tree, its index, columns whose cells become paths
    ("s4", make_s4, "s4_meta_data.csv", ("name", "category"), dict(type="AVSBenchS4Dataset")),
    ("ms3", make_ms3, "ms3_meta_data.csv", ("video_id",), dict(type="AVSBenchMS3Dataset")),
    ("avss", make_avss, "metadata.csv", ("uid",), dict(type="AVSBenchSemanticDataset")),
    (
        "vpo-ms",
        make_vpo,
        "VPO/VPO-MS/vpo_ms_data_stereo.csv",
        ("img_Id", "vgg_file"),
        dict(type="VPODataset", subset="vpo-ms"),
    ),
    ("vpo-ms", make_mixed_vpo, None, ("uid", "frame"), dict(type="VPODataset", subset="vpo-ms")),
]


@pytest.mark.parametrize(("name", "make", "index", "columns", "dataset"), CASES)
def test_the_check_reports_the_row_and_a_data_set_refuses_the_index(
    tmp_path: Path,
    name: str,
    make: Callable[[Path], Path],
    index: str | None,
    columns: tuple[str, ...],
    dataset: dict,
) -> None:
    init_default_scope("mmseg")
    root = make(tmp_path / "root")
    file = root / index if index else next(root.glob("*.csv"))
    with file.open(newline="") as opened:
        rows = list(csv.reader(opened))
    line = len(rows) - 1  # of the second layout's rows the last alone is of this subset
    split = rows[line][rows[0].index("split")].replace("val", SPLIT_OF_VAL.get(name, "val"))
    for column in columns:
        changed = [list(row) for row in rows]
        changed[line][rows[0].index(column)] = "../out"
        write_csv(file, *changed)
        out = tmp_path / "report.json"
        assert run(check, name, "--root", root, "--index", file, "--json", out) == 1
        defect = next(
            one for one in json.loads(out.read_text())["defects"] if one["line"] == line + 1
        )
        assert defect["kind"] == "bad_row" and "leads out of the data" in defect["detail"]
        with pytest.raises(
            BadSampleError, match=r"line \d+: the name '\.\./out' leads out"
        ) as told:
            DATASETS.build(dict(**dataset, data_root=str(root), ann_file=str(file), split=split))
        assert "--fix-index" in str(told.value)


def test_the_repaired_index_has_the_row_no_more(tmp_path: Path) -> None:
    root = make_ms3(tmp_path / "root")
    index, fixed = root / "ms3_meta_data.csv", tmp_path / "fixed.csv"
    change(index, 0, "../out")
    assert run(check, "ms3", "--root", root, "--fix-index", fixed) == 1
    assert len(read_table(fixed, MS3_COLUMNS).rows) == len(read_table(index, MS3_COLUMNS).rows) - 1
    assert run(check, "ms3", "--root", root, "--index", fixed) == 0


def test_an_index_of_a_header_alone_is_not_clean(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_csv(tmp_path / "ms3_meta_data.csv", ("video_id", "split"))
    assert run(check, "ms3", "--root", tmp_path) == 1
    assert "no_rows" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--fix-index", "--json"])
def test_the_index_that_is_read_is_not_written_over(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture
) -> None:
    root = make_ms3(tmp_path / "root")
    index, link = root / "ms3_meta_data.csv", tmp_path / "link.csv"
    link.symlink_to(index)
    before = index.read_bytes()
    for out in (index, link, root / ".." / "root" / index.name):
        assert run(check, "ms3", "--root", root, option, out) == 2
        assert "is the index that is read; name another file" in capsys.readouterr().err
    same = tmp_path / "same"
    assert run(check, "ms3", "--root", root, "--json", same, "--fix-index", same) == 2
    assert index.read_bytes() == before and not same.exists()


def test_a_report_that_can_not_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    root = make_ms3(tmp_path / "root")
    monkeypatch.setattr(check, "check_media", lambda *_: pytest.fail("the work began"))
    for option in ("--json", "--fix-index"):
        assert run(check, "ms3", "--root", root, option, "/proc/none/out") == 2
        assert "'/proc' can't be written to" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(1, 1), (7, 1), (3, 9)])
def test_the_smallest_pictures_are_checked(tmp_path: Path, size: tuple[int, int]) -> None:
    root = make_avss(tmp_path / "root")
    frame = next(path for path in sorted(root.rglob("frames/*.jpg")))
    Image.new("RGB", size).save(frame)
    out = tmp_path / "report.json"
    assert run(check, "avss", "--root", root, "--json", out, "--workers", 1) == 1
    text = out.read_text()
    assert "wrong_size" in text and "unreadable" not in text


def test_frames_of_more_than_8_bits_are_defects(tmp_path: Path) -> None:
    """As training has it."""
    root = make_avss(tmp_path / "root")
    frame = next(path for path in sorted(root.rglob("frames/*.jpg")))
    Image.new("I;16", (32, 24), 700).save(frame, format="PNG")
    out = tmp_path / "report.json"
    assert run(check, "avss", "--root", root, "--json", out, "--workers", 1) == 1
    [defect] = json.loads(out.read_text())["defects"]
    assert defect["kind"] == "unreadable_frame" and "mode I;16" in defect["detail"]


@pytest.mark.parametrize(
    "content",
    [
        "[" * 10_000 + "]" * 10_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "NaN",
        '{"background": NaN}',
        '{"background": 1e999}',
        '{"background": true}',
        '{"\\ud800": 0}',
        "9" * 5000,
        "",
        "\ufeff{}",
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_odd_tables_of_classes_end_in_one_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "label2idx.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadSampleError, match=r"label2idx\.json") as told:
        check_label2idx(path)
    assert "\n" not in str(told.value).encode().decode()
