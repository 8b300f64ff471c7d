"""A corpus on Ray: workers that are lost are replaced, nothing is lost or twice, none is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import make_clip
from corpus_kill import TITLES, command_of, descendants, wait_for_end
from fake_segmentor import write_model
from test_corpus import start, tone

pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_a_worker_is_killed(tmp_path: Path) -> None:
    config, checkpoint = write_model(tmp_path)
    model = ["--config", str(config), "--checkpoint", str(checkpoint)]
    text = config.read_text().replace("['projects.cpm_avs',", "['projects.cpm_avs', 'slow_one',")
    # Workers have the model's class from there, and time enough to be caught at work.
    (tmp_path / "slow_one.py").write_text(
        "import time, fake_segmentor as fake\n"
        "predict = fake.FakeSegmentor.predict\n"
        "fake.FakeSegmentor.predict = lambda *args: (time.sleep(0.1), predict(*args))[1]\n"
    )
    videos = tmp_path / "videos"
    videos.mkdir()
    for index in range(4):
        sound = tone(1.6, 0.2 * index, 1.2)
        make_clip(videos / f"{index}.mp4", frames=40, sound=sound, sound_rate=16000)
    (videos / "broken.mp4").write_bytes(b"none")
    assert start(model, videos, tmp_path / "alone", "--piece", "0.8") == 1

    config.write_text(text)
    paths = [str(Path(__file__).parent), str(tmp_path), *filter(None, sys.path)]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(paths))
    command = [sys.executable, "tools/corpus.py", str(videos), "--out", str(tmp_path / "crew")]
    options = ["--workers", "1", "--fps", "5", "--piece", "0.8", "--save-every", "0"]
    run = subprocess.Popen([*command, *model, *options], cwd=ROOT, env=environment,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    seen: set[int] = set()
    killed = False
    while run.poll() is None:
        below = descendants(run.pid)
        seen |= set(below)
        if not killed and any((tmp_path / "crew" / "pieces").glob("*.parquet")):
            worker = next(one for one in below if TITLES["worker"] in command_of(one))
            os.kill(worker, signal.SIGKILL)
            killed = True
        time.sleep(0.1)
    assert run.stdout is not None
    assert (run.returncode, killed) == (1, True), run.stdout.read()
    for table in ("videos", "masks", "pieces"):
        alone, crew = (
            sorted(map(repr, pq.read_table(tmp_path / out / table).to_pylist()))
            for out in ("alone", "crew")
        )
        assert alone == crew and crew
    wait_for_end(seen)
