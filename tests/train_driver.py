"""Train a config in processes of its own that record what each step saw, and die on request."""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from no_waiting import spare
from ranks import fork_server, rank_environments

from projects.cpm_avs.launch import meet_without_gpu

ROOT = Path(__file__).resolve().parents[1]


class StepRecorder(Hook):
    """One line a step: what was drawn, the losses, and digests of what the model then holds."""

    priority = "LOWEST"

    def __init__(self, path: Path) -> None:
        self.file = path.open("a")

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        inputs = data_batch["inputs"]
        parts = inputs.values() if isinstance(inputs, dict) else [inputs]
        step = dict(
            iter=runner.iter + 1,
            samples=[
                f"{sample.metainfo.get('clip_id')}/{sample.metainfo.get('frame_index')}"
                for sample in data_batch["data_samples"]
            ],
            inputs=[float(tensor.double().sum()) for part in parts for tensor in part],
            losses={name: float(value.detach()) for name, value in outputs.items()},
            state={
                name.removeprefix("module."): hashlib.sha256(tensor.numpy().tobytes()).hexdigest()
                for name, tensor in runner.model.state_dict().items()
            },
        )
        print(json.dumps(step), file=self.file, flush=True)


class KillHook(Hook):
    """A real SIGKILL: no handler runs, nothing is flushed.

    Args:
        at: After how many iterations.
        amid: "step" (at its end), "start", "validation", or "save", when a checkpoint is written
            but has not come to its place.
    """

    priority = "LOWEST"

    def __init__(self, at: int, amid: str) -> None:
        self.at, self.amid = at, amid

    def before_train(self, runner) -> None:
        self._kill_at(runner.iter, "start")

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._kill_at(runner.iter + 1, "step")

    def before_save_checkpoint(self, runner, checkpoint) -> None:
        if (checkpoint["meta"]["iter"], "save") == (self.at, self.amid):
            os.fsync = lambda _: self._kill_at(self.at, "save")

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self._kill_at(runner.iter, "validation")

    def _kill_at(self, iteration: int, amid: str) -> None:
        if (iteration, amid) == (self.at, self.amid):
            os.kill(os.getpid(), signal.SIGKILL)


def train(
    config: str | Path,
    work_dir: Path,
    options: dict[str, Any],
    resume: bool,
    kill: tuple[int, str],
    environment: dict[str, str],
) -> None:
    """What a process does; its output goes to ``log_rank<rank>.txt``."""
    spare()
    os.environ.update(environment)
    rank = environment["RANK"]
    work_dir.mkdir(parents=True, exist_ok=True)
    output = os.open(work_dir / f"log_rank{rank}.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    torch.set_num_threads(1)

    cfg = Config.fromfile(config)
    cfg.merge_from_dict(options)
    cfg.work_dir, cfg.resume = str(work_dir), resume
    if environment["WORLD_SIZE"] != "1":
        cfg.launcher = "pytorch"
        meet_without_gpu(cfg)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StepRecorder(work_dir / f"steps_rank{rank}.jsonl"))
    runner.register_hook(KillHook(*kill))
    runner.train()


def start(
    config: str | Path,
    work_dir: Path,
    *,
    options: dict[str, Any] | None = None,
    resume: bool = False,
    kill_at: int = -1,
    amid: str = "step",
    ranks: int = 1,
) -> list[BaseProcess]:
    """Start a run; with more than one rank they meet over gloo."""
    processes = []
    for environment in rank_environments(ranks):
        arguments = (ROOT / config, work_dir, options or {}, resume, (kill_at, amid), environment)
        processes.append(fork_server().Process(target=train, args=arguments))
        processes[-1].start()
    return processes


def finish(processes: Sequence[BaseProcess], work_dir: Path, exitcode: int = 0) -> None:
    """Wait for all ranks and check how they ended."""
    for process in processes:
        process.join(timeout=300)
    codes = [process.exitcode for process in processes]
    logs = "\n".join(path.read_text()[-3000:] for path in sorted(work_dir.glob("log_rank*.txt")))
    assert codes == [exitcode] * len(codes), f"{codes}\n{logs}"


def steps(work_dir: Path, rank: int = 0) -> list[dict]:
    """What the steps of all processes of a run recorded, in order."""
    return [json.loads(line) for line in (work_dir / f"steps_rank{rank}.jsonl").open()]
