"""Files that appear under their name whole or not at all, and errors that say which file it was."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Where to write a file that comes to its place once it is whole; its folder is made.

    The place to write is beside it, has the same suffix, and is gone where writing fails; what
    stood there before then still does. A device or a pipe is written to as it is.

    Raises:
        OSError: Of the system, such as that of a full disk; it names ``path``.
    """
    path = Path(path)
    part = path if _is_device(path) else path.with_name(f".part-{path.name}")
    try:
        with _errors_name(path, part):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield part
            if part != path:
                part.replace(path)
    finally:
        if part != path:
            part.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Replace a file by a new one that is on the disk; text is UTF-8."""
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        if part != Path(path):
            os.fsync(file.fileno())


def try_to_write(path: str | Path) -> None:
    """Raise before the work what ``whole_file`` would raise after it: no folder, no permission.

    Raises:
        OSError: It names ``path``.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not _is_device(path):
        part = path.with_name(f".part-{path.name}")
        with _errors_name(path, part):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.touch()
            part.unlink()


@contextmanager
def _errors_name(path: Path, part: Path) -> Iterator[None]:
    """A write that fails names no file at all, an open the one beside it, FFmpeg its address."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, part, str(part), f"file:{part}"):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _is_device(path: Path) -> bool:
    """Whether nothing is to be renamed onto it; /dev/stdout is a link, maybe to a file."""
    linked = path.is_symlink() and path.absolute().parts[1:2] in (("dev",), ("proc",))
    return path.exists() and (linked or not path.is_file())
