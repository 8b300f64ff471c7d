"""Runs over a corpus without Ray: shards, joined reports, going on, search."""

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
from clips import make_clip, tone
from corpus_runs import TABLES, VIDEO, rows, start
from fake_segmentor import write_model
from pycocotools import mask as coco

from projects.cpm_avs import work_folder
from projects.cpm_avs.commands import corpus_search
from projects.cpm_avs.corpus.manifest import read_manifest
from projects.cpm_avs.corpus.pieces import Finding, Piece
from projects.cpm_avs.corpus.progress import Tally
from projects.cpm_avs.corpus.running import Ledger, take_stock
from projects.cpm_avs.corpus.search import Search
from projects.cpm_avs.corpus.shards import Shards
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.inference import AVSInferencer


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> list[str]:
    config, checkpoint = write_model(tmp_path_factory.mktemp("model"))
    return ["--config", str(config), "--checkpoint", str(checkpoint)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Two short ones, a long one, one without sound, one that is none."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "sub").mkdir()
    make_clip(folder / "early.mp4", frames=30, sound=tone(1.2, 0, 0.6))
    make_clip(folder / "sub" / "late.mp4", frames=25, sound=tone(1, 0.5, 1))
    make_clip(folder / "long.mp4", frames=130, sound=tone(5.2, 0.7, 4.2))
    make_clip(folder / "mute.mp4", frames=5)
    (folder / "broken.mp4").write_bytes(b"no video at all")
    (folder / "notes.txt").write_text("nothing")
    return folder


class TestRun:
    @pytest.fixture(scope="class")
    def out(self, model, videos, tmp_path_factory) -> Path:
        out = tmp_path_factory.mktemp("out")
        assert start(model, videos, out) == 1  # some can't be used
        return out

    def test_a_folder_is_walked_for_videos(self, videos):
        names = [one.name for one in read_manifest(videos)]
        assert names == ["broken.mp4", "early.mp4", "long.mp4", "mute.mp4", "sub/late.mp4"]

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

    def test_tables_of_others_are_left_alone(self, videos, model, tmp_path):
        table = tmp_path / "masks" / "2024.parquet"
        table.parent.mkdir()
        table.write_bytes(b"mine")
        with pytest.raises(UserError, match=r"holds tables and no corpus\.json"):
            start(model, videos, tmp_path)
        assert table.read_bytes() == b"mine"
        table.rename(tmp_path / "masks" / "2024-01.parquet")  # no number of a shard
        assert start(model, videos, tmp_path) == 1
        assert (tmp_path / "masks" / "2024-01.parquet").read_bytes() == b"mine"

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
        make_clip(mine / "early.mp4", frames=50, sound=tone(2, 0, 2))
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
