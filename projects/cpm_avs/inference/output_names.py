"""Where the results of a clip go: a folder of a harmless name that holds nothing of the user's."""

import re
import unicodedata
from itertools import count
from pathlib import Path

from ..errors import UserError

# Written into each folder that is made here, so that the next run knows it again.
_MARK = ".cpm_avs"
_LONGEST = 200  # bytes of a name; file systems take 255, a number and a hidden prefix go with it
_FORBIDDEN = r'[\x00-\x1f\x7f-\x9f\ud800-\udfff/\\:*?"<>|]'  # on one system or another
_DEVICES = r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?"  # Windows has no files of these names


def clean_name(name: str) -> str:
    """A clip's name as that of one folder, on every system: never empty, hidden, or a path."""
    name = re.sub(_FORBIDDEN, "_", unicodedata.normalize("NFC", name))
    name = name.encode()[:_LONGEST].decode(errors="ignore").strip(". ") or "clip"
    return f"{name}_" if re.fullmatch(_DEVICES, name, re.IGNORECASE) else name


def own_folder(folder: Path) -> Path:
    """Make a folder for results and mark it; an earlier run's is taken again.

    Raises:
        UserError: It holds what this program did not make.
        OSError: It can't be made.
    """
    if not _may_take(folder):
        raise UserError(f"{folder}: holds files of others; name an empty folder, or a new one")
    return _marked(folder)


def result_folder(out_dir: Path, name: str, taken: set[str]) -> Path:
    """A folder for a clip's results, made and marked; an earlier run's is taken again.

    Args:
        out_dir: Where it lies.
        name: Of the clip; a number is added where another clip of this run or something that this
            program did not make has the name already.
        taken: Names of this run, to which the new one is added.

    Raises:
        OSError: It can't be made.
    """
    clean = clean_name(name)
    for number in count(1):
        free = clean if number == 1 else f"{clean}_{number}"
        folder = out_dir / free
        # Some file systems see no difference between a and A.
        if free.casefold() not in taken and _may_take(folder):
            taken.add(free.casefold())
            return _marked(folder)
    raise AssertionError  # numbers don't end


def _marked(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    return folder


def _may_take(folder: Path) -> bool:
    """Whether nothing in it is anybody else's."""
    if not folder.is_dir():
        return not (folder.exists() or folder.is_symlink())
    made_here = (folder / _MARK).is_file() and not (folder / "masks").is_symlink()
    return made_here or not any(folder.iterdir())
