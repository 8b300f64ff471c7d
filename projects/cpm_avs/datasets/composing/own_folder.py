"""Whose a set's folder is: that of one command, which may be repeated and may take in more."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import write_whole
from ...media.kinds import visible
from ...work_folder import claim

SETTINGS = "compose.json"
#: Settings that are lists, to which a later run may add.
_GROWING = ("coco", "photos", "sounds")


def take_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a folder this process's own, or refuse one that holds something else.

    Args:
        folder: Folder of the set; made if need be.
        settings: All that decides what the set is, as JSON has it.

    Raises:
        UserError: It holds other files, or a set that was made with other settings, or another
            process writes to it.
    """
    path = folder / SETTINGS
    if not path.is_file() and folder.exists() and visible(folder.iterdir()):
        raise UserError(f"{folder} holds other files. Give --out an empty or a new folder.")
    folder.mkdir(parents=True, exist_ok=True)
    claim(folder, does="writes this set", option="--out")
    if path.is_file():
        earlier = _read(path)
        keys = [key for key in settings if not _goes_on(key, earlier.get(key), settings[key])]
        if keys:
            changes = "; ".join(f"{key}: {earlier.get(key)}, now {settings[key]}" for key in keys)
            raise UserError(
                f"{folder} was made with other options ({changes}). Repeat them, more sources may "
                "be added; or give --out a new folder."
            )
    write_whole(path, json.dumps(settings, indent=1) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_bytes())
    except ValueError:
        settings = None
    if not isinstance(settings, dict):
        raise UserError(f"{path} can't be read. Give --out a new folder.")
    return settings


def _goes_on(key: str, earlier: Any, now: Any) -> bool:
    if key in _GROWING and isinstance(earlier, list):
        return all(one in now for one in earlier)
    return bool(earlier == now)
