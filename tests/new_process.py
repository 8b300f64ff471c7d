"""What ``subprocess.run([sys.executable, ...])`` does, without its seconds of imports.

A process is forked from one that has imported the packages of others that take longest. Nothing of
the project, mmcv, mmdet or mmseg is imported there: each process imports those anew, in its order.
"""

import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMPORTED = (
    "torch", "mmengine.runner", "sklearn.gaussian_process", "pandas", "matplotlib.pyplot",
    "scipy.signal", "scipy.stats", "scipy.optimize", "cv2", "av",
)  # fmt: skip


class Started:
    """A process that was started.

    Args:
        pid: Its number.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._status: int | None = None

    def poll(self) -> int | None:
        """How it ended, or None, as ``Popen.poll`` has it."""
        if self._status is None:
            self._status = _ask(wait=self.pid, options=os.WNOHANG)
        return self._status

    def wait(self) -> int:
        """Wait for its end, and return how it ended."""
        if self._status is None:
            self._status = _ask(wait=self.pid, options=0)
        return self._status

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def start(
    *command: object, stdout: Path, stderr: Path, cwd: Path = ROOT, **environment: str
) -> Started:
    """Start ``python command``; ``environment`` is beside this process's own.

    Args:
        command: "-c", a program and its words; or a script and its words.
        stdout, stderr: Files to write to.
        cwd: Its folder.
    """
    return Started(_ask(
        command=[*map(str, command)], cwd=str(cwd), environment={**os.environ, **environment},
        outputs=[str(stdout), str(stderr)],
    ))  # fmt: skip


def python(
    *command: object, cwd: Path = ROOT, **environment: str
) -> subprocess.CompletedProcess[str]:
    """``start``, wait, and return what it printed."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        status = start(*command, stdout=out, stderr=err, cwd=cwd, **environment).wait()
        return subprocess.CompletedProcess(command, status, out.read_text(), err.read_text())


@cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-I", __file__]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _ask(**request: Any) -> Any:
    server = _server()
    assert server.stdin is not None and server.stdout is not None
    print(json.dumps(request), file=server.stdin, flush=True)
    return json.loads(server.stdout.readline())


def _serve() -> dict[str, Any]:
    """Answer what is asked; returns in a process that was forked, with what it is to do."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            pid, status = os.waitpid(request["wait"], request["options"])
            answer = os.waitstatus_to_exitcode(status) if pid else None
        elif not (answer := os.fork()):
            return request
        print(json.dumps(answer), flush=True)
    os._exit(0)  # the tests have ended


def _become(command: list[str], cwd: str, environment: dict[str, str], outputs: list[str]) -> None:
    """Turn this process into one that has just been started, and run what it is for."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    tempfile.tempdir = None  # is that of the environment
    for number, path in enumerate([os.devnull, *outputs]):
        opened = os.open(path, os.O_CREAT | os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding=encoding) for number in (1, 2))
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    if command[0] == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *command[2:]]
        sys.modules["__main__"] = ModuleType("__main__")
        exec(compile(command[1], "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.path.insert(0, str(Path(command[0]).resolve().parent))
        sys.argv = command
        runpy.run_path(command[0], run_name="__main__")


if __name__ == "__main__":
    gc.disable()
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    gc.enable()
    _become(**_serve())
