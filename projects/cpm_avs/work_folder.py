"""A run's work folder: whose it is, and which checkpoint in it a run resumes from."""

import os
import re
import socket
import sys
import time
from contextlib import suppress
from logging import WARNING
from pathlib import Path, PureWindowsPath
from typing import IO

import mmengine.runner
from mmengine.logging import print_log

from .checkpoint_format import find_damage
from .errors import UserError

#: Holds the name of the newest checkpoint beside it. mmengine writes whole paths, which still lead
#: to the original after the folder was moved or copied.
POINTER = "last_checkpoint"
_NUMBERED = re.compile(r"(epoch|iter)_\d+\.pth")
_held: dict[str, IO[str]] = {}


def claim(
    folder: str | Path, *, does: str = "trains in this work folder", option: str = "--work-dir"
) -> None:
    """Keep other jobs out of a work folder until this process ends, however it ends.

    A record lock does that: a loader's workers do not inherit it, as they would ``flock``'s, and
    NFS tells other hosts of it. Of a job with several processes only the first one claims.

    Args:
        folder: To work in.
        does: What the job does there, for the others' message.
        option: That names another folder.

    Raises:
        UserError: Another job has it.
    """
    place = str(Path(folder).resolve())
    if sys.platform == "win32" or place in _held:
        return
    import fcntl

    file = Path(folder, ".lock").open("a+")  # noqa: SIM115  # it is held as long as it is open
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        raise UserError(
            f"{folder}: {file.read().strip() or 'another job'} {does}; wait for its end, or name "
            f"another folder with {option}"
        ) from error
    except OSError as error:  # a file system without locks
        print_log(
            f"{folder} can't be locked ({error}): start no second job in it", "current", WARNING
        )
        return
    _held[place] = file
    with suppress(OSError):  # on a full disk the lock holds without a name
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()},")
        file.flush()


def tell_of_earlier_run(folder: str | Path) -> None:
    """Warn that a run which begins anew writes over the checkpoints of an earlier one."""
    if found := _numbered(Path(folder)):
        newest = max(found, key=lambda path: path.stat().st_mtime_ns)
        print_log(
            f"{newest} is of an earlier run, whose checkpoints this one writes over as it comes to "
            "their numbers; to go on from it give --resume, to keep it another --work-dir",
            "current",
            WARNING,
        )


def make_resuming_safe() -> None:
    """Have mmengine's ``Runner`` resume from what ``latest_checkpoint`` finds."""
    for module in (mmengine.runner, mmengine.runner.checkpoint, mmengine.runner.runner):
        setattr(module, "find_latest_checkpoint", latest_checkpoint)  # noqa: B010


def latest_checkpoint(folder: str) -> str | None:
    """The checkpoint to resume from: the one that ``last_checkpoint`` names, if it is whole.

    Where it is not, or the name is lost, the newest whole one counts, and this is said. Takes the
    place of mmengine's ``find_latest_checkpoint``.

    Args:
        folder: The work folder.

    Returns:
        Its path, or None where nothing was saved yet.

    Raises:
        UserError: There is something to resume from, but none of it is whole.
    """
    place, pointer = Path(folder), Path(folder, POINTER)
    named = pointer.read_bytes().decode(errors="replace").strip() if pointer.is_file() else ""
    # The file of that name in this folder, wherever the folder was when the name was written.
    wanted = place / PureWindowsPath(named).name if named else None
    problems = []
    if wanted is None:
        problems.append(f"{pointer} is {'empty' if pointer.is_file() else 'not there'}")
    elif not wanted.is_file():
        problems.append(f"{wanted}, which {POINTER} names, is not there")
    elif damage := find_damage(wanted):
        problems.append(f"{wanted} is damaged ({damage})")
    else:
        return str(wanted)

    others = sorted(_numbered(place), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    elsewhere = Path(named)  # of a run whose checkpoints go to another folder (out_dir)
    for path in (*others, elsewhere) if elsewhere.is_absolute() else others:
        if path == wanted or not path.is_file():
            continue
        if damage := find_damage(path):
            problems.append(f"{path} is damaged ({damage})")
            continue
        print_log(f"{'; '.join(problems)}: resuming from {path}", "current", WARNING)
        return str(path)
    if named or others:
        raise UserError(
            f"{'; '.join(problems)}; no other checkpoint is there to resume from. Leave out "
            "--resume to begin anew, or name a checkpoint: --resume FILE"
        )
    return None


def _numbered(folder: Path) -> list[Path]:
    return [path for path in folder.glob("*.pth") if _NUMBERED.fullmatch(path.name)]
