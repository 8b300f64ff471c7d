"""The parts of a run over a corpus: manifest, pieces, masks, joined stretches, progress."""

import json

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("pyarrow")
import pyarrow as pa
import pyarrow.parquet as pq
from corpus_runs import VIDEO
from pycocotools import mask as coco

from projects.cpm_avs.corpus import run_lengths
from projects.cpm_avs.corpus.joining import join
from projects.cpm_avs.corpus.manifest import Video, read_manifest
from projects.cpm_avs.corpus.pieces import Finding, Piece, cut
from projects.cpm_avs.corpus.progress import Tally, clock
from projects.cpm_avs.corpus.running import Ledger
from projects.cpm_avs.corpus.shards import Shards
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.inference.results import FrameResult
from projects.cpm_avs.inference.timeline import Run, RunFinder, Timeline


class TestManifest:
    def test_forms_say_the_same(self, tmp_path):
        for name in ("a.mp4", "b c.mp4"):
            (tmp_path / name).write_bytes(b"12345")
        names = ["a.mp4", "b c.mp4", "gone.mp4"]
        forms = {
            "m.txt": "# mine\na.mp4\n\nb c.mp4\na.mp4\ngone.mp4\n",
            "m.csv": "id,video\n1,a.mp4\n2,b c.mp4\n3,gone.mp4\n",
            "m.tsv": "video\tid\na.mp4\t1\nb c.mp4\t2\ngone.mp4\t3\n",
        }
        for name, text in forms.items():
            (tmp_path / name).write_text(text)
        pq.write_table(pa.table(dict(path=names)), tmp_path / "m.parquet")
        for name in (*forms, "m.parquet"):
            found = read_manifest(tmp_path / name)
            assert [one.name for one in found] == names
            assert [one.size for one in found] == [5, 5, -1]
            assert found[0].path == str(tmp_path / "a.mp4")

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
            ("m.json", b'["a.mp4"]', ".json is no manifest; give a .txt, .csv, .tsv, .parquet or"),
            ("a.MP4", b"a.mp4", ".mp4 is no manifest; "),
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
