"""``prepare_data.py compose`` again: it goes on, and a set is one command's and one process's."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from compose_sources import make_photos, make_sounds
from composed_sets import compose, index, splits_of, times

from projects.cpm_avs.datasets.composing import writing


def test_again_nothing_is_done_and_new_files_move_none(sources):
    assert compose(*sources) == 0
    before, content, drawn = times(), Path("set/index.csv").read_bytes(), splits_of()
    assert compose(*sources) == 0
    assert times() == before and Path("set/index.csv").read_bytes() == content

    make_photos(Path("photos"), ["dog", "zebra"], 9, seed=300)  # of dog0 to dog5 others
    make_sounds(Path("more"), ["aardvark", "dog"], 9, seed=900)
    assert compose(*sources, "--sounds", "more") == 0
    after = times()
    replaced = {path for path in before if after[path] != before[path]}
    assert {path.name[:8] for path in replaced} == {f"dog-dog{i}" for i in range(6)}
    assert {key: split for key, split in splits_of().items() if key in drawn} == drawn
    assert len(index()) == 48 + 3 + 9 + 18

    os.unlink("photos/cat/cat1.jpg")
    gone = [row for row in index() if "cat-cat1" in row["file"] and row["kind"] == "photo"]
    assert compose(*sources, "--sounds", "more") == 0
    assert not Path("set", gone[0]["file"]).exists() and not Path("set", gone[0]["mask"]).exists()
    assert len(index()) == 48 + 3 + 9 + 18 - 1


def test_an_interrupted_run_leaves_whole_files_and_goes_on(sources, monkeypatch):
    write, calls = soundfile.write, []

    def write_half(path: Path, samples: np.ndarray, *args: object, **options: object) -> None:
        calls.append(path)
        if len(calls) == 4:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt
        write(path, samples, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(writing.soundfile, "write", write_half)
        with pytest.raises(KeyboardInterrupt):
            compose(*sources, "--workers", 1)
    assert not Path("set/index.csv").exists() and not [*Path("set").rglob(".part-*")]
    before = times()
    assert 3 <= sum(path.suffix == ".flac" for path in before) < 24
    killed = Path("set/photos/photos/.part-dog.jpg")  # a kill leaves one
    killed.write_bytes(b"half")
    assert compose(*sources) == 0
    assert {path: time for path, time in times().items() if path in before} == before
    assert len(index()) == 48 and not killed.exists()


def test_a_folder_is_one_commands(sources, capsys):
    Path("set").mkdir()
    Path("set/mine.txt").write_text("mine")
    assert compose(*sources) == 1
    assert "set holds other files. Give --out an empty" in capsys.readouterr().err
    assert [path.name for path in Path("set").iterdir()] == ["mine.txt"]
    Path("set/mine.txt").unlink()
    assert compose(*sources) == 0
    before = Path("set/index.csv").read_bytes()
    capsys.readouterr()
    for words, change in (
        ([*sources, "--seconds", 2], "seconds: 3.0, now 2.0"),
        (sources[:2], "sounds: [['sounds']], now []"),
    ):
        assert compose(*words) == 1
        assert f"made with other options ({change})" in capsys.readouterr().err
    assert Path("set/index.csv").read_bytes() == before
    Path("set/compose.json").write_text("[")
    assert compose(*sources) == 1 and "compose.json can't be read" in capsys.readouterr().err


def test_a_set_that_another_process_writes_is_left_alone(sources, capsys):
    Path("set").mkdir()
    holder = (
        "import fcntl, time\nfile = open('set/.lock', 'a+')\nfcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", holder], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert compose(*sources) == 1
        other.kill()
    assert "writes this set; wait for its end, or name another" in capsys.readouterr().err
    assert [path.name for path in Path("set").iterdir()] == [".lock"]
