"""Memory and processes of a run, on machines with and without CUDA."""

import ctypes
import gc
import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.config import Config

from ..work_folder import claim, tell_of_earlier_run

#: Where a launcher says which process of the job this is.
_RANKS = dict(pytorch="RANK", slurm="SLURM_PROCID", mpi="OMPI_COMM_WORLD_RANK")
# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
PR_SET_PDEATHSIG = 1  # Linux's sys/prctl.h


def end_with_launcher() -> None:
    """Have Linux end this process when torchrun, which started it, is gone.

    After a ``kill -9`` torchrun can't end its processes, and they would train on, unseen.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ and sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a tensor gives back, on a machine without CUDA.

    It hands blocks of this size to the system at once, and every new tensor then costs a page fault
    for each 4 KiB. Other C libraries have no such setting, and are left as they are.
    """
    if torch.cuda.is_available() or not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, 2**30)
        mallopt(M_TRIM_THRESHOLD, 2**31 - 1)


def meet_without_gpu(cfg: Config) -> None:
    """Let several processes meet over gloo on a machine without CUDA; with it, one a GPU.

    mmengine would pick a GPU for each process whatever the backend is, and wrap the model for it.
    """
    if cfg.launcher == "pytorch" and torch.cuda.is_available():
        gpus, place = torch.cuda.device_count(), int(os.environ.get("LOCAL_RANK", 0))
        if place >= gpus:
            raise SystemExit(
                f"error: process {place + 1} of this node has no GPU, torch sees {gpus}; give "
                f"tools/dist_train.sh or tools/dist_test.sh {gpus} after the config and checkpoint"
            )
    if cfg.launcher == "none" or torch.cuda.is_available():
        return
    if cfg.launcher != "pytorch":
        raise SystemExit(
            f"error: --launcher {cfg.launcher} needs CUDA, and torch sees no GPU; processes on the "
            "CPU are started by tools/dist_train.sh (--launcher pytorch)"
        )
    cfg.env_cfg = {**cfg.get("env_cfg", {}), "dist_cfg": dict(backend="gloo")}
    cfg.sync_bn = None  # works on GPUs only
    cfg.model_wrapper_cfg = dict(
        type="MMDistributedDataParallel",
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=cfg.get("find_unused_parameters", False),
    )
    torch.distributed.init_process_group("gloo")


def claim_work_folder(cfg: Config) -> None:
    """Have the job's first process claim its work folder before the runner writes to it.

    The others can't go on without the first one.

    Raises:
        UserError: Another job trains in it.
    """
    if int(os.environ.get(_RANKS.get(cfg.launcher, ""), 0)) == 0:
        Path(cfg.work_dir).mkdir(parents=True, exist_ok=True)
        claim(cfg.work_dir)
        if not cfg.get("resume"):
            tell_of_earlier_run(cfg.work_dir)


def leave_processes() -> None:
    """End the meeting of a job's processes, after the runner has gone out of scope.

    gloo's threads live as long as the distributed model does, whose references are circular; one
    that is still busy when the interpreter ends aborts a process that had finished its work. The
    model is collected while the group still stands: were it the last to hold the group, the
    collection would wait, with Python's lock, for a thread that needs the lock to let go of its
    tensors. While the barrier waits, without the lock, such threads come to their end.
    """
    if torch.distributed.is_initialized():
        gc.collect()
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()
