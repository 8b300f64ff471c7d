"""Ray, started for this run alone or found where it runs; it tells nobody and leaves nothing."""

import logging
import math
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from ..errors import UserError

#: Read when Ray is imported. What it tells a terminal of workers and machines that are lost is
#: pages long; ``ray_crew.py`` says it in a line.
_QUIET = dict(RAY_USAGE_STATS_ENABLED="0", RAY_DEDUP_LOGS_SKIP_REGEX=".")
#: The embedded cluster's ports take no orders without the token; workers beside the crew's would
#: only wait.
_EMBEDDED = dict(
    RAY_AUTH_MODE="token",
    RAY_enable_worker_prestart="0",
    RAY_prestart_worker_first_driver="0",
    RAY_worker_niceness="0",
    RAY_gcs_rpc_server_reconnect_timeout_s="5",
)
_STORE = 256 << 20  # bytes for results on their way; a piece has some MB
_PATIENCE = 10  # seconds for a machine to answer
_LONGEST = 40  # letters of a folder in which Ray's sockets still have names that Linux takes


@contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[tuple[int, float]]:
    """A cluster to run in; the embedded one ends with this process, however that ends.

    Args:
        address: Of a running one, as ``ray.init`` takes it; None starts one here, which takes
            orders from this process alone.
        workers: That are wanted; None: one a GPU, or a core where there is no GPU.

    Yields:
        The number of workers, and the share of a GPU that each of them has.

    Raises:
        UserError: There is no cluster at the address, or it has no room for the workers.
    """
    os.environ.update(_QUIET)
    if address is None and "ray" not in sys.modules:
        os.environ.update(_EMBEDDED, RAY_AUTH_TOKEN=secrets.token_hex(32))
    import ray

    folder = _folder() if address is None else None
    try:
        if folder is not None:
            _start(folder, max(len(_cores()), workers or 0))
        else:
            _join(str(address))
        there = ray.cluster_resources()
        gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 0))
        count = workers or gpus or cpus
        if count > cpus:
            raise UserError(f"--workers {count}: the cluster has {cpus} cores; give that or less")
        # As many on each GPU, so that none is left without: 12 on 8 GPUs are 2 on each.
        yield count, 1 / math.ceil(count / gpus) if gpus else 0.0
    finally:
        ray.shutdown()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, cores: int) -> None:
    """An embedded cluster, whose processes Linux ends with this one."""
    import ray

    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, sys.path)
    )  # workers find what this does
    ray.init(
        address="local",
        num_cpus=cores,
        num_gpus=torch.cuda.device_count(),
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=_STORE,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(folder),
    )


def _join(address: str) -> None:
    import ray

    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--address {address}: no cluster answers there ({error}); start one with "
            "`ray start --head`, or leave the option out to use this machine"
        ) from error


def _knock(address: str) -> None:
    """See whether anybody answers at HOST:PORT, which Ray would go on asking for many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _cores() -> set[int]:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _folder() -> Path:
    """For Ray's logs and sockets; those of runs that were killed are taken away."""
    place = Path(tempfile.gettempdir())
    if len(str(place)) > _LONGEST:
        place = Path("/tmp")
    for left in place.glob("cpm-ray-*-*"):
        process = left.name.split("-")[2]
        if process.isdecimal() and not _is_there(int(process)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"cpm-ray-{os.getpid()}-", dir=place))


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        pass
    return True
