"""A corpus on Ray: workers that are lost are replaced, nothing is lost or twice, none is left."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import make_clip, tone
from corpus_kill import TITLES, titled, wait_for_end
from corpus_runs import start
from fake_segmentor import write_model
from new_process import python

from projects.cpm_avs.corpus.cluster import cluster
from projects.cpm_avs.errors import UserError

pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet")
ROOT = Path(__file__).resolve().parents[1]


class Trial:
    """Four videos and one that is none, done by this process; and a slow model for a crew.

    Args:
        folder: Of everything.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        config, checkpoint = write_model(folder)
        self.model = ["--config", str(config), "--checkpoint", str(checkpoint)]
        self.videos = folder / "videos"
        self.videos.mkdir()
        for index in range(4):
            sound = tone(1.6, 0.2 * index, 1.2)
            make_clip(self.videos / f"{index}.mp4", frames=40, sound=sound)
        (self.videos / "broken.mp4").write_bytes(b"none")
        assert start(self.model, self.videos, folder / "alone", "--piece", "0.8") == 1
        # Workers have the model's class from there, and time enough to be caught at work.
        (folder / "slow_one.py").write_text(
            "import time, fake_segmentor as fake\n"
            "predict = fake.FakeSegmentor.predict\n"
            "fake.FakeSegmentor.predict = lambda *args: (time.sleep(0.1), predict(*args))[1]\n"
        )
        known = "['projects.cpm_avs',"
        config.write_text(config.read_text().replace(known, f"{known} 'slow_one',"))

    @property
    def path(self) -> str:
        """Where workers find the model, and what this process finds."""
        places = [str(Path(__file__).parent), str(self.folder), *filter(None, sys.path)]
        return os.pathsep.join(places)

    @property
    def command(self) -> list[str]:
        out = str(self.folder / "crew")
        common = ["--fps", "5", "--piece", "0.8", "--save-every", "0"]
        return ["tools/corpus.py", str(self.videos), "--out", out, *self.model, *common]

    def run(self, *options: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, *self.command, *options], cwd=ROOT,
                                env=dict(os.environ, PYTHONPATH=self.path), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True)  # fmt: skip

    def wait_for_shard(self, run: subprocess.Popen) -> None:
        """Until it has written something more."""
        before = self._shards()
        while self._shards() == before:
            assert run.poll() is None, f"ends with status {run.returncode}"
            time.sleep(0.1)

    def _shards(self) -> int:
        return len([*(self.folder / "crew" / "pieces").glob("*.parquet")])

    def check(self) -> None:
        """The crew found what this process did."""
        for table in ("videos", "masks", "pieces"):
            alone, crew = (
                sorted(map(repr, pq.read_table(self.folder / out / table).to_pylist()))
                for out in ("alone", "crew")
            )
            assert alone == crew and crew


@pytest.mark.slow
def test_workers_are_killed_and_a_scheduler_ends_it(tmp_path: Path) -> None:
    trial = Trial(tmp_path)
    run = trial.run("--workers", "1")
    while not (loading := titled(TITLES["worker"], run.pid)):
        time.sleep(0.1)
    os.kill(loading[0], signal.SIGKILL)
    trial.wait_for_shard(run)
    os.kill(titled(TITLES["worker"], run.pid)[0], signal.SIGKILL)
    trial.wait_for_shard(run)
    run.terminate()
    output, _ = run.communicate()
    assert run.returncode == 130 and output.endswith("interrupted\n"), output
    wait_for_end(run.pid)
    done = python(*trial.command, "--workers", "0", PYTHONPATH=trial.path)
    assert done.returncode == 1, done.stderr
    trial.check()


@pytest.mark.slow
def test_a_machine_is_lost(tmp_path: Path, monkeypatch) -> None:
    from ray.cluster_utils import Cluster

    trial = Trial(tmp_path)
    monkeypatch.setenv("PYTHONPATH", trial.path)  # Ray's processes pass it on to their workers
    monkeypatch.setenv("RAY_worker_niceness", "0")  # by itself 15, which on a busy core is a halt
    machines = Cluster(initialize_head=True, head_node_args=dict(num_cpus=1))
    try:
        other = machines.add_node(num_cpus=1)
        run = trial.run("--address", machines.address)  # a worker a core: one on each machine
        trial.wait_for_shard(run)
        machines.remove_node(other, allow_graceful=False)
        output, _ = run.communicate()  # the worker that is left does it all
        assert run.returncode == 1, output
        trial.check()
    finally:
        machines.shutdown()


def test_nobody_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        with (
            pytest.raises(UserError, match=f"--address {address}: no cluster answers"),
            cluster(address, None),
        ):
            pass
