"""Files that appear under their name whole or not at all, and errors that say which file it was."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile


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
    """Replace a file by a new one that is on the disk; text is UTF-8.

    What of a file's name is no UTF-8 is written as its escape sequence.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    with whole_file(path) as part, part.open("wb") as file:
        file.write(content)
        file.flush()
        if part != Path(path):
            os.fsync(file.fileno())


def sha256_of(path: str | Path) -> str:
    """Digest of a file's contents, in hexadecimal digits; read bit by bit."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_file(path: str | Path) -> None:
    """Raise before the work what ``whole_file`` would raise after it; nothing is made.

    Raises:
        OSError: There is a folder in its place, its own folder can't be made or written to, or the
            name is too long; the message says so.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"'{path}' is a folder; name a file in it")
    if not _is_device(path):
        check_folder(path.parent, f".part-{path.name}")


def check_folder(path: str | Path, *names: str) -> None:
    """Raise before the work what making a folder, or files in it, would raise; nothing is made.

    Args:
        path: The folder.
        names: Of files that will be made in it.

    Raises:
        OSError: There is a file in its place or above, the nearest folder that is there can't be
            written to, or a name is too long; the message says so.
    """
    missing = list(names)
    for place in (Path(path).absolute(), *Path(path).absolute().parents):
        if os.path.lexists(place):
            break
        missing.append(place.name)
    if not place.is_dir():
        raise NotADirectoryError(f"'{place}' is a file; name a folder in its place")
    try:
        with TemporaryFile(dir=place):
            pass
    except OSError as error:
        raise PermissionError(
            f"'{place}' can't be written to ({error.strerror}); name another folder"
        ) from error
    most = os.pathconf(place, "PC_NAME_MAX") if hasattr(os, "pathconf") else 255
    for name in missing:
        if len(os.fsencode(name)) > most:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)


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
