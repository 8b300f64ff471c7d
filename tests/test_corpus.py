"""A corpus without Ray: manifest, pieces, shards, joined reports, going on, search."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from clips import make_clip
from fake_segmentor import write_model
from pycocotools import mask as coco

from projects.cpm_avs import work_folder
from projects.cpm_avs.commands import corpus, corpus_search
from projects.cpm_avs.corpus import run_lengths
from projects.cpm_avs.corpus.joining import join
from projects.cpm_avs.corpus.manifest import Video, read_manifest
from projects.cpm_avs.corpus.pieces import Finding, Piece, cut
from projects.cpm_avs.corpus.progress import Tally, clock
from projects.cpm_avs.corpus.running import Ledger, take_stock
from projects.cpm_avs.corpus.search import Search
from projects.cpm_avs.corpus.shards import Shards
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.results import FrameResult
from projects.cpm_avs.inference.timeline import Run, RunFinder, Timeline

TABLES = ("videos", "masks", "pieces")
VIDEO = Video("a.mp4", "/x/a.mp4", 10, 20)


def tone(duration: float, start: float, end: float, rate: int = 16000) -> np.ndarray:
    """(1, n): silence around a tone."""
    sound = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(duration * rate)) / rate)
    sound[: round(start * rate)] = sound[round(end * rate) :] = 0
    return sound[None].astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> list[str]:
    config, checkpoint = write_model(tmp_path_factory.mktemp("model"))
    return ["--config", str(config), "--checkpoint", str(checkpoint)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Two short ones, a long one, one without sound, one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub").mkdir()
    make_clip(folder / "early.mp4", frames=30, sound=tone(1.2, 0, 0.6), sound_rate=16000)
    make_clip(folder / "sub" / "late.mp4", frames=25, sound=tone(1, 0.5, 1), sound_rate=16000)
    make_clip(folder / "long.mp4", frames=130, sound=tone(5.2, 0.7, 4.2), sound_rate=16000)
    make_clip(folder / "mute.mp4", frames=5)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("nothing")
    return folder


def start(model: list[str], manifest: Path, out: Path, *words: str) -> int:
    """As the command line does, in this process."""
    work_folder._held.clear()  # a folder is this process's until it ends
    options = ["--workers", "0", "--fps", "5", "--piece", "1", *words]
    return corpus.main([str(manifest), "--out", str(out), *model, *options])


def rows(out: Path, table: str) -> list[dict]:
    return sorted(pq.read_table(out / table).to_pylist(), key=repr)


class TestManifest:
    def test_forms_say_the_same(self, tmp_path):
        for name in ("a.mp4", "b c.mp4"):
            (tmp_path / name).write_bytes(b"12345")
        names = ["a.mp4", "b c.mp4", "gone.mp4"]
        forms = {
            "m.txt": "# mine\na.mp4\n\nb c.mp4\na.mp4\ngone.mp4\n",
            "m.csv": "id,video\n1,a.mp4\n2,b c.mp4\n3,gone.mp4\n",
        }
        for name, text in forms.items():
            (tmp_path / name).write_text(text)
        pq.write_table(pa.table(dict(path=names)), tmp_path / "m.parquet")
        for name in (*forms, "m.parquet"):
            found = read_manifest(tmp_path / name)
            assert [one.name for one in found] == names
            assert [one.size for one in found] == [5, 5, -1]
            assert found[0].path == str(tmp_path / "a.mp4")

    def test_a_folder_is_walked_for_videos(self, videos):
        names = [one.name for one in read_manifest(videos)]
        assert names == ["broken.mp4", "early.mp4", "long.mp4", "mute.mp4", "sub/late.mp4"]

    def test_key_changes_with_the_file(self, tmp_path):
        path = tmp_path / "a.mp4"
        path.write_bytes(b"1")
        before = read_manifest(tmp_path)[0].key
        assert read_manifest(tmp_path)[0].key == before
        path.write_bytes(b"22")
        assert read_manifest(tmp_path)[0].key != before

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("m.txt", b"\n# none\n", "names no video"),
            ("m.txt", b"\xff\xfe\x00", "is no txt file"),
            ("m.csv", b"id,clip\n1,a\n", "its columns are id, clip"),
            ("m.csv", b"id,video\n1\n", "row 2 names no video"),
            ("m.parquet", b"PAR1", "is no parquet file"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, name, content, said):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=said):
            read_manifest(tmp_path / name)
        with pytest.raises(UserError, match="no such manifest"):
            read_manifest(tmp_path / "nowhere.txt")


class TestPieces:
    def test_a_short_video_is_one(self):
        assert cut(VIDEO, 89.0, 60.0, 4.0) == [Piece(VIDEO, 0, 1, 0.0, 89.0)]

    def test_a_long_one_is_cut_on_the_grid_of_frames(self):
        pieces = cut(VIDEO, 10.0, 3.1, 2.0)  # 3.1 s are no whole number of half seconds
        assert [(one.start, one.end) for one in pieces] == [(0, 3), (3, 6), (6, 10)]
        assert {one.count for one in pieces} == {3}
        assert [one.index for one in pieces] == [0, 1, 2]


class TestRunLengths:
    def test_there_and_back_as_pycocotools_has_it(self):
        class_map = np.random.default_rng(0).integers(0, 3, (7, 5)).astype(np.uint8)
        one, two = run_lengths.encode(class_map, [2, 1])
        assert json.loads(json.dumps(one)) == one and one["size"] == [7, 5]
        assert np.array_equal(run_lengths.decode(one), class_map == 2)
        assert coco.area(two) == (class_map == 1).sum()
        assert run_lengths.encode(class_map, []) == []


class TestJoining:
    """Pieces joined are the whole, for runs that flicker, pause and slip at random."""

    @pytest.mark.parametrize("seed", range(12))
    def test_against_the_whole(self, seed):
        rng = np.random.default_rng(seed)
        step, count = 0.1, 120
        times = np.cumsum(rng.choice([step, step, 3 * step], count)) - step
        # Stretches of some frames, each with an object or two or none.
        labels = [rng.choice([0, 0, 1, 2, 3]) for _ in range(count // 4) for _ in range(4)]
        labels = [int(rng.choice([label, label, label, 0])) for label in labels]
        duration = float(times[-1] + step)
        frames = [self.frame(time, label) for time, label in zip(times, labels, strict=True)]
        timeline = Timeline(duration)
        for frame in frames:
            timeline.add(frame, frame.time)
        whole = timeline.finish(duration)
        findings = []
        for piece in cut(VIDEO, duration, 2.5, None):
            mine = [one for one in frames if piece.start <= one.time < piece.end]
            finder = RunFinder()
            runs = [run for one in mine for run in finder.add(one, one.time)]
            runs += finder.finish(piece.end)
            first = mine[0].time if mine else None
            findings.append(Finding(piece, duration, len(mine), first, runs))
        rng.shuffle(findings)
        row = join(findings)
        assert row["frames"] == count and row["error"] is None and len(findings) > 4
        assert len(row["sounding"]) == len(whole) > 0
        for one, wanted in zip(row["sounding"], whole, strict=True):
            assert one == pytest.approx(vars(wanted)), wanted

    @staticmethod
    def frame(time: float, label: int) -> FrameResult:
        class_map = np.zeros((4, 4), np.uint8)
        class_map[:2] = label % 3
        class_map[:1] = 1 if label == 3 else label
        scores = {one: 0.5 + time / 100 for one in (1, 2) if (class_map == one).any()}
        return FrameResult(float(time), class_map, scores, ("", "a", "b"))

    def test_a_broken_piece_ends_what_sounds(self):
        first, second, third = cut(VIDEO, 9.0, 3.0, 4.0)
        row = join(
            [
                Finding(third, 9.0, 2, 6.0, [Run("a", 1, 6.0, 9.0, 1.0, 0.4, 2)]),
                Finding(second, error="is broken"),
                Finding(first, 9.0, 2, 0.0, [Run("a", 1, 1.0, 3.0, 1.0, 0.2, 2)]),
            ]
        )
        assert row["error"] == "is broken" and row["duration"] == 9.0
        found = [(one["start"], one["end"], one["area"]) for one in row["sounding"]]
        assert found == [(1.0, 3.0, 0.1), (6.0, 9.0, 0.2)]


class TestRun:
    @pytest.fixture(scope="class")
    def out(self, model, videos, tmp_path_factory) -> Path:
        out = tmp_path_factory.mktemp("out")
        assert start(model, videos, out) == 1  # some can't be used
        return out

    def test_each_video_is_a_row(self, out, videos):
        table = pd.read_parquet(out / "videos").set_index("video")
        assert sorted(table.index) == [one.name for one in read_manifest(videos)]
        assert "no sound track" in table.error["mute.mp4"] and table.error["broken.mp4"]
        assert table.frames["long.mp4"] == 26 and table.duration["long.mp4"] == pytest.approx(5.2)
        assert pd.isna(table.error["long.mp4"])
        assert [one["name"] for one in table.sounding["sub/late.mp4"]] == ["green square"]

    def test_reports_are_the_inferencers(self, out, videos, model):
        """Of a long video in five pieces, too."""
        table = pd.read_parquet(out / "videos").set_index("video")
        inferencer = AVSInferencer(model[1], model[3])
        for name in ("early.mp4", "long.mp4"):
            wanted = inferencer(videos / name, fps=5).segments
            assert list(table.sounding[name]) == [pytest.approx(vars(one)) for one in wanted]
        assert [(one.start, one.end) for one in wanted] == [pytest.approx((0.8, 4.4))]
        pieces = pd.read_parquet(out / "pieces")
        assert (pieces.video == "long.mp4").sum() == 5

    def test_masks_are_the_inferencers(self, out, videos, model):
        masks = pd.read_parquet(out / "masks")
        masks = masks[masks.video == "long.mp4"].set_index("time")
        frames = AVSInferencer(model[1], model[3])(videos / "long.mp4", fps=5).frames
        seen = 0
        for frame in frames:
            for one in frame.objects:
                row = masks.loc[frame.time]
                assert np.array_equal(coco.decode(row.segmentation), one.mask)
                assert (row["name"], row.area) == (one.name, pytest.approx(one.area))
                seen += 1
        assert seen == len(masks) > 10

    def test_duckdb_reads_what_pandas_reads(self, out):
        count = duckdb.connect().execute(f"SELECT count(*) FROM '{out}/masks/*.parquet'")
        assert count.fetchall() == [(len(pd.read_parquet(out / "masks")),)]

    def test_again_does_nothing(self, out, videos, model, capsys):
        before = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
        assert start(model, videos, out) == 0
        assert "5 were done before" in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == before

    def test_pieces_make_no_difference(self, out, videos, model, tmp_path):
        start(model, videos, tmp_path, "--piece", "100")
        assert rows(tmp_path, "masks") == rows(out, "masks")
        for one, other in zip(rows(tmp_path, "videos"), rows(out, "videos"), strict=True):
            assert one["sounding"] == [pytest.approx(segment) for segment in other["sounding"]]

    def test_other_settings_want_another_folder(self, out, videos, model):
        with pytest.raises(UserError, match=r"fps 5.0 \(now 4.0\)"):
            start(model, videos, out, "--fps", "4")

    def test_two_at_a_time_are_refused(self, out, videos, model):
        lock = "import fcntl, sys, time; f = open(sys.argv[1], 'a'); fcntl.lockf(f, fcntl.LOCK_EX)"
        command = [sys.executable, "-c", f"{lock}; print(flush=True); time.sleep(60)"]
        work_folder._held.clear()
        with subprocess.Popen([*command, str(out / ".lock")], stdout=subprocess.PIPE) as other:
            other.stdout.readline()
            with pytest.raises(UserError, match="works in this folder; wait .* with --out"):
                start(model, videos, out)
            other.kill()


class TestGoingOn:
    @staticmethod
    def copy(out: Path, folder: Path) -> Path:
        return Path(shutil.copytree(out, folder, dirs_exist_ok=True))

    @pytest.fixture(scope="class")
    def whole(self, model, videos, tmp_path_factory) -> Path:
        """Every piece in a shard of its own."""
        out = tmp_path_factory.mktemp("whole")
        start(model, videos, out, "--save-every", "0")
        assert len(list((out / "pieces").glob("*.parquet"))) == 9
        return out

    @pytest.mark.parametrize("kept", [0, 2, 4, 8])
    @pytest.mark.parametrize("torn", ["nothing", "masks", "report", "part"])
    def test_after_a_kill(self, whole, model, videos, tmp_path, kept, torn):
        """Some shards are there, and of the next one as much as a kill may leave."""
        out = self.copy(whole, tmp_path / "out")
        for table in TABLES:
            for path in (out / table).glob("*.parquet"):
                number = int(path.stem)
                gone = number >= kept
                if torn == "masks" and table == "masks":
                    gone = number > kept
                if torn == "report" and table == "videos":
                    gone = number >= kept - 1
                if gone:
                    path.unlink()
        if torn == "part":
            (out / "pieces" / f".part-{kept:06d}.parquet").write_bytes(b"PAR1 half")
        start(model, videos, out)
        for table in TABLES:
            assert rows(out, table) == rows(whole, table), table
        assert not list(out.rglob(".part*"))

    def test_a_changed_file_is_done_again(self, whole, model, videos, tmp_path):
        mine = Path(shutil.copytree(videos, tmp_path / "videos"))
        out = tmp_path / "out"
        start(model, mine, out)
        make_clip(mine / "early.mp4", frames=50, sound=tone(2, 0, 2), sound_rate=16000)
        start(model, mine, out)
        table = pd.read_parquet(out / "videos").set_index("video")
        assert len(table) == 5 and table.duration["early.mp4"] == pytest.approx(2.0)
        masks = pd.read_parquet(out / "masks")
        assert masks[masks.video == "early.mp4"].time.max() == pytest.approx(1.8)
        assert not masks.duplicated(["video", "time", "name"]).any()

    def test_a_manifest_grows(self, model, videos, tmp_path, capsys):
        manifest = tmp_path / "m.txt"
        manifest.write_text(f"{videos}/early.mp4\n")
        assert start(model, manifest, tmp_path / "out") == 0
        manifest.write_text(f"{videos}/early.mp4\n{videos}/sub/late.mp4\n")
        assert start(model, manifest, tmp_path / "out") == 0
        said = capsys.readouterr().out
        assert "1 were done before" in said and len(rows(tmp_path / "out", "videos")) == 2

    def test_failed_ones_are_tried_again_when_asked(self, model, videos, tmp_path):
        manifest = tmp_path / "m.txt"
        manifest.write_text(f"{videos}/mute.mp4\n{videos}/early.mp4\n")
        out = tmp_path / "out"
        start(model, manifest, out)
        before = rows(out, "videos")
        start(model, manifest, out, "--retry-failed")
        assert rows(out, "videos") == before and len(before) == 2

    def test_a_damaged_shard_is_named(self, whole, model, videos, tmp_path):
        out = self.copy(whole, tmp_path / "out")
        (out / "pieces" / "000003.parquet").write_bytes(b"PAR1 half")
        with pytest.raises(UserError, match=r"000003.parquet: is damaged .* delete it"):
            start(model, videos, out)
        (out / "videos" / "000000.parquet").write_bytes(b"PAR1 half")
        with pytest.raises(UserError, match="out: its videos can't be read .*000000.parquet"):
            Search(out).hits("green square", most=1)

    def test_an_interrupt_amid_writing_leaves_nothing_twice(self, tmp_path, monkeypatch):
        shards = Shards(tmp_path)
        ledger = Ledger(shards, Tally(1), every=100)
        write = shards._write_findings

        def interrupted(*args):
            write(*args)
            raise KeyboardInterrupt

        monkeypatch.setattr(shards, "_write_findings", interrupted)
        ledger.add(Finding(Piece(VIDEO, 0, 1, 0.0, 1.0), 1.0, 1, 0.0))
        with pytest.raises(KeyboardInterrupt):
            ledger.write()
        ledger.write()
        assert len(rows(tmp_path, "pieces")) == 1 and len(rows(tmp_path, "videos")) == 0
        _, left = take_stock([VIDEO], Shards(tmp_path), Tally(1), every=1, retry_failed=False)
        assert left == [] and [one["video"] for one in rows(tmp_path, "videos")] == ["a.mp4"]


class TestSearch:
    @pytest.fixture(scope="class")
    def out(self, model, videos, tmp_path_factory) -> Path:
        out = tmp_path_factory.mktemp("out")
        start(model, videos, out)
        return out

    def test_biggest_first(self, out, capsys, tmp_path):
        sheet = tmp_path / "green.png"
        assert corpus_search.main([str(out), "green square", "--sheet", str(sheet)]) == 0
        lines = capsys.readouterr().out.splitlines()
        areas = [float(line.split()[-4].rstrip("%")) for line in lines[:3]]
        assert areas == sorted(areas, reverse=True) and lines[3].startswith("sheet: ")
        assert {line.split()[0] for line in lines[:3]} == {"early.mp4", "long.mp4", "sub/late.mp4"}
        assert sheet.stat().st_size > 10_000
        assert corpus_search.main([str(out), "green square", "--most", "1"]) == 0
        assert len(capsys.readouterr().out.splitlines()) == 1

    def test_a_video_that_is_gone_is_told_in_the_sheet(self, model, videos, tmp_path):
        mine = Path(shutil.copytree(videos, tmp_path / "videos"))
        start(model, mine, tmp_path / "out")
        (mine / "long.mp4").unlink()
        sheet = tmp_path / "s.png"
        assert (
            corpus_search.main([str(tmp_path / "out"), "green square", "--sheet", str(sheet)]) == 0
        )
        assert sheet.is_file()

    def test_what_is_not_there(self, out, capsys, tmp_path):
        assert corpus_search.main([str(out), "red patch"]) == 1
        assert capsys.readouterr().out.startswith("no red patch sounds in")
        with pytest.raises(UserError, match="did you mean green square"):
            corpus_search.main([str(out), "green squares"])
        with pytest.raises(UserError, match="has no corpus.json"):
            corpus_search.main([str(tmp_path), "dog"])


class TestProgress:
    def test_line_and_summary(self, monkeypatch):
        now = 100.0
        monkeypatch.setattr("time.monotonic", lambda: now)
        tally = Tally(10, before=2)
        tally.start()
        good = dict(video="a", path="/x/a", duration=10.0, frames=40, error=None)
        bad = dict(video="b", path="/x/b", duration=0.0, frames=0, error="/x/b: is empty")
        for row in (good, good, bad, dict(bad, path="/x/c", error="/x/c: is empty")):
            tally.add(row)
        now = 108.0
        assert tally.line() == "6/10 videos, 2 failed, 0.50 videos/s, 0:08 left"
        assert tally.summary().splitlines() == [
            "4 videos (20 s, 80 frames) in 0:08: 0.50 videos/s, 2.5 times real time",
            "2 were done before",
            "2 failed, which the column `error` says of each:",
            "  2 x FILE: is empty",
        ]

    def test_clock(self):
        assert [clock(s) for s in (5, 65, 3723)] == ["0:05", "1:05", "1:02:03"]


def test_memory_held_does_not_grow_with_the_manifest(tmp_path, monkeypatch):
    """What is found is written when it has its size, whatever the time."""
    monkeypatch.setattr("projects.cpm_avs.corpus.running._MOST_HELD", 1000)
    shards = Shards(tmp_path)
    ledger = Ledger(shards, Tally(50), every=1e9)
    masks = pa.table(dict(zip(["video"], [["x" * 100] * 4], strict=True)))
    monkeypatch.setattr(shards, "write", lambda held, rows: written.append(len(held)))
    written: list[int] = []
    for index in range(50):
        video = Video(f"{index}.mp4", "", 1, 1)
        ledger.add(Finding(Piece(video, 0, 1, 0.0, 1.0), 1.0, 1, 0.0, [], None, masks))
    assert sum(written) > 45 and max(written) <= 3
