"""Run a function on several gloo ranks, each a process of its own."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from projects.cpm_avs.launch import leave_processes


def fork_server() -> Any:
    """Processes in a fresh state, forked from a server that has imported what takes long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["projects.cpm_avs.training", "torch._dynamo"])
    return context


def start_beside(function: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
    """A process for ``function(sender, *args)``, and what receives what it sends."""
    context = fork_server()
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=function, args=(sender, *args))
    process.start()
    sender.close()
    return process, receiver


def rank_environments(world_size: int) -> list[dict[str, str]]:
    """What torchrun would set for each rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return [
        dict(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(world_size),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
        )
        for rank in range(world_size)
    ]


def _work(environment: dict[str, str], function: Callable[..., Any], args: tuple, sender: Any):
    os.environ.update(environment)
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    sender.send(function(int(environment["RANK"]), *args))
    leave_processes()


def run_on_ranks(world_size: int, function: Callable[..., Any], *args: Any) -> list[Any]:
    """``function(rank, *args)`` of every rank; a function of a module, with picklable results."""
    context = fork_server()
    running = []
    for environment in rank_environments(world_size):
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(environment, function, args, sender))
        process.start()
        sender.close()
        running.append((process, receiver))
    results = []
    for process, receiver in running:
        assert receiver.poll(120), "a rank hangs"
        results.append(receiver.recv())
        process.join(30)
        assert process.exitcode == 0
    return results
