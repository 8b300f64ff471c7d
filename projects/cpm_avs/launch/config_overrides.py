"""Variables that a config sets anew after its bases have used theirs: they would change nothing."""

import ast
from pathlib import Path

from mmengine.config import Config

from ..config_files import ROOT, ConfigError
from .config_keys import READ, is_used, places


def check_overrides(path: Path) -> None:
    """Refuse ``crop_size = (256, 256)`` and its like above a base that has put its parts together.

    Args:
        path: A config that can be read. Those of the project are left alone.

    Raises:
        ConfigError: With the keys that the base used the variable for.
    """
    if path.suffix != ".py" or path.resolve().is_relative_to(ROOT / "configs"):
        return
    text = path.read_text()
    assigned = _assigned(text)
    for name in Config._get_base_files(str(path)):
        if "::" in name:
            continue
        file = path.parent / name
        check_overrides(file)
        base = Config.fromfile(file, import_custom_modules=False)
        for variable, value in assigned.items():
            if variable not in base or variable in (*READ, "custom_imports"):
                continue  # of the file's own, or for the runner
            if value == base[variable] or not is_used(base.text, variable):
                continue  # unchanged, or for code to read
            if not is_used(text, variable):
                raise ConfigError(
                    f"{path}: {variable} changes nothing here: {file.name} has used its own while "
                    f"it was put together; {_instead(base, variable, value)}"
                )


def _instead(base: Config, variable: str, value: object) -> str:
    """What the base has used a variable for, or the part of it that the file sets."""
    part = next((key.arg for key in getattr(value, "keywords", ()) if key.arg), None)
    where = list(dict.fromkeys(places(base, variable, [part] if part else [])))
    more = f" and {len(where) - 3} more" if len(where) > 3 else ""
    return f"set {', '.join(where[:3])}{more}" if where else "set what it is used for"


def _assigned(text: str) -> dict[str, object]:
    """Names that a file assigns, with the values that are plain ones."""
    found: dict[str, object] = {}
    for part in ast.parse(text).body:
        if isinstance(part, ast.Assign):
            for target in part.targets:
                if isinstance(target, ast.Name):
                    found[target.id] = _value(part.value)
    return found


def _value(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return node  # equal to nothing
