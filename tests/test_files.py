"""Files are written whole or not at all, and what can't be written is named."""

import errno
import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from projects.cpm_avs.files import check_file, check_folder, whole_file, write_whole


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond 4 KiB, so that a write fails in its midst; nor may pytest's own."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "a.txt"
    with whole_file(path) as part:
        assert part.suffix == path.suffix and part.parent == path.parent
        part.write_text("a")
        assert not path.exists()
    write_whole(path, "b\u00e9")
    assert path.read_bytes() == "b\u00e9".encode() and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"x" * 5000, "y" * 5000])
def test_a_full_disk_names_the_file_and_leaves_what_was_there(
    tmp_path: Path, content: str | bytes
) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")
    with full_disk(), pytest.raises(OSError, match="File too large") as full:
        write_whole(path, content)
    assert full.value.filename == str(path) and full.value.errno == errno.EFBIG
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt("^C"), RuntimeError("of a library"), OSError("own")]
)
def test_what_ends_the_writing_leaves_no_half(tmp_path: Path, error: BaseException) -> None:
    ended = pytest.raises(BaseException, match=re.escape(str(error)))
    with ended, whole_file(tmp_path / "a") as part:
        part.write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_a_device_is_written_to_as_it_is() -> None:
    full, null = Path("/dev/full"), Path("/dev/null")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_whole(full, "x")
    write_whole(null, "x")
    check_file(null)
    assert full.is_char_device() and null.is_char_device()


def test_the_output_of_a_shell_is_no_file_to_replace(tmp_path: Path) -> None:
    path = tmp_path / "redirected"
    with path.open("w") as shell:
        write_whole(f"/proc/self/fd/{shell.fileno()}", "text")
    assert path.read_text() == "text"


def test_a_pipe_is_written_to_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_whole(path, "through")
    assert os.read(reader, 10) == b"through" and path.is_fifo()
    os.close(reader)


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    foreign, link = tmp_path / "foreign", tmp_path / "link"
    foreign.write_text("theirs")
    link.symlink_to(foreign)
    write_whole(link, "ours")
    assert foreign.read_text() == "theirs" and not link.is_symlink()


def test_what_can_not_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path, message in [
        (tmp_path, "is a folder"),
        (tmp_path / "file" / "a.json", r"file"),
        (tmp_path / ("x" * 300), "too long"),
        (Path("/proc/none/a.json"), "'/proc' can't be written to"),
    ]:
        with pytest.raises(OSError, match=message):
            check_file(path)
    (tmp_path / "lost").symlink_to(tmp_path / "nowhere")
    for path, message in [
        (tmp_path / "file", "is a file; name a folder"),
        (tmp_path / "lost" / "below", "lost' is a file; name a folder"),
        (tmp_path / ("x" * 300) / "below", "too long"),
        (Path("/proc/none"), "'/proc' can't be written to .*name another"),
    ]:
        with pytest.raises(OSError, match=message):
            check_folder(path)
    check_file(tmp_path / "new" / "a.json")
    check_file(tmp_path / ("x" * 240))
    check_folder(tmp_path / "new" / "er")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "lost"}
