"""Configs by file or name; what is wrong with one is said in a sentence, and only .py runs code.

mmengine reads YAML with a loader that builds any Python object, and takes any importable function
for a ``type``. A config in YAML or JSON is data here: plain values, and names that are registered.
A config in Python is a program, also where another config names it in ``_base_``.
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import walk_tb
from typing import Any

import yaml
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio import load, register_handler
from mmengine.fileio.handlers import YamlHandler
from mmengine.registry import Registry
from mmengine.utils import get_installed_path, import_modules_from_strings, is_installed

from .constants import REPOSITORY as ROOT
from .errors import UserError
from .two_names import own_name

SUFFIXES = (".py", ".yaml", ".yml", ".json")
_OWN_MODULES = ("cpm_avs", "cpm_avs.training")
_SCOPES = ("mmengine", "mmcv", "mmdet", "mmseg")


class ConfigError(UserError):
    """A config, or an option that changes it, can't be used."""


class PlainLoader(yaml.SafeLoader):
    """Plain values, and tuples, which a config that was written as YAML has."""


PlainLoader.add_constructor(
    "tag:yaml.org,2002:python/tuple", lambda loader, node: tuple(loader.construct_sequence(node))
)


def make_yaml_safe() -> None:
    """Give mmengine a reader of YAML that makes plain values only."""

    @register_handler(["yaml", "yml"])
    class PlainYamlHandler(YamlHandler):
        def load_from_fileobj(self, file: Any, **kwargs: Any) -> Any:
            return super().load_from_fileobj(file, **{**kwargs, "Loader": PlainLoader})


def make_packages_findable() -> None:
    """Let ``mmseg::`` and ``mmdet::`` in a ``_base_`` lead to the packages that are installed.

    mmengine looks for the distributions by upstream's names; OneDL's have others, and the modules
    the same.
    """
    for module in ("mmseg", "mmdet"):
        if not is_installed(MODULE2PACKAGE[module]):
            MODULE2PACKAGE[module] = module


def nearest(name: str, known: Iterable[str], *, count: int = 1, cutoff: float = 0.7) -> list[str]:
    """The names that one may have meant, best first; none where nothing is like it."""
    return difflib.get_close_matches(name, list(known), n=count, cutoff=cutoff)


def hint_of_unregistered(name: str, registry: Registry) -> str:
    """What to do about a name that a registry does not know; part of a sentence."""
    for module in _OWN_MODULES:
        with suppress(ImportError):
            import_module(own_name(module))
        if is_registered(name, registry):
            return (
                f"it is in {module}, which custom_imports lacks: its list takes the place of the "
                f"base's, so give imports={[*_OWN_MODULES]} and your own"
            )
    package = name.partition(".")[0]
    if package != name and find_spec(package) is None:
        return f"the package {package} is not installed"
    names: list[str] = []
    parent: Registry | None = registry
    while parent is not None:
        names += parent.module_dict
        parent = parent.parent
    near = nearest(name, names)
    return f"did you mean {near[0]!r}?" if near else "is its module in custom_imports?"


def is_registered(name: str, registry: Registry) -> bool:
    """As ``Registry.get``, which imports whatever a name with dots may mean."""
    try:
        return registry.get(name) is not None
    except RuntimeError:
        return False


def find_config(name: str | Path) -> Path:
    """The file of a config: a path, or the name of one in ``configs/``.

    Raises:
        ConfigError: There is none; the message has the nearest names.
    """
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a config in it")
    known = {file.stem: file for file in sorted((ROOT / "configs").rglob("*.py"))}
    known = {stem: file for stem, file in known.items() if "_base_" not in file.parts}
    stem = path.name.removesuffix(".py")
    if stem in known and path.parent == Path():
        return known[stem]
    files = [file for suffix in SUFFIXES for file in path.parent.glob(f"*{suffix}")]
    beside = {file.stem: str(file) for file in files}  # these are found with their suffix alone
    main = sorted(file.stem for file in (ROOT / "configs").glob("*.py"))
    near = nearest(stem, {*known, *beside}, count=3) or main
    there = ", ".join(one if one in known else beside[one] for one in near)
    raise ConfigError(f"no config {str(name)!r}; there are {there}")


def read_config_file(name: str | Path, *, leave_out: str | None = None) -> Config:
    """Read a config with its bases, and import the modules that it names.

    Args:
        name: As for ``find_config``.
        leave_out: Modules below this one are not imported.

    Raises:
        ConfigError: There is no such config, or it can't be read; the message says where.
    """
    path = find_config(name)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: a config ends in py/yml/yaml/json")
    try:
        if path.suffix != ".py" and not isinstance(load(path), dict):
            raise ConfigError(f"{path}: it holds no keys with values, as a config does")
        _refuse_loop(path)
        config = Config.fromfile(path, import_custom_modules=False)
    except ConfigError:
        raise
    except Exception as error:  # whatever the program that a config is may raise
        raise ConfigError(_problem(path, error)) from error
    if path.suffix != ".py":
        refuse_paths_to_code(path, config.to_dict())
    _import_modules(path, config.get("custom_imports") or {}, leave_out)
    return config


def _refuse_loop(path: Path, above: tuple[Path, ...] = ()) -> None:
    """Mmengine would follow the bases until Python's stack is full."""
    path = path.absolute().resolve()
    if path in above:
        names = [one.name for one in above[above.index(path) :]]
        raise ConfigError(f"{path}: its bases lead back to it ({' -> '.join([*names, path.name])})")
    bases: list[str] = []
    with suppress(Exception):  # what is wrong with the file, mmengine finds, too
        bases = Config._get_base_files(str(path))
    for base in bases:
        if "::" not in base:  # in a package, whose configs know nothing of ours
            _refuse_loop(path.parent / base, (*above, path))


def _problem(path: Path, error: Exception) -> str:
    """Which of the files, where in it, and what."""
    chain = list(dict.fromkeys(_files_being_read(error))) or [path]
    file = chain[-1]
    if not file.is_file() and len(chain) > 1:
        beside = [one.name for one in file.parent.glob("*") if one.suffix in SUFFIXES]
        near = nearest(file.name, beside)
        hint = f"did you mean {near[0]}" if near else "it is taken relative to the config"
        return f"{chain[-2]}: there is no {file} for its _base_; {hint}"
    if (told := _missing_in_package(error)) is not None:
        return f"{file}: {told}"
    if isinstance(error, yaml.MarkedYAMLError):
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        return f"{file}, line {line}: {error.problem}; a config in YAML holds plain values only"
    if isinstance(error, UnicodeDecodeError) or "null bytes" in str(error):
        return f"{file}: it is no text; a config is a text file"
    line, told = _line(file, error), error.args[0] if error.args else ""
    if isinstance(error, OSError):  # begins with its number
        told = str(error)
    told = error.msg if isinstance(error, SyntaxError) else " ".join(str(told).split())
    where = f"{file}, line {line}" if line else str(file)
    return f"{where}: {told} ({type(error).__name__}); the config can't be read"


def _files_being_read(error: Exception) -> Iterator[Path]:
    """The files that mmengine had open, each named by the one before in its ``_base_``."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_file2dict":
            yield Path(frame.f_locals["filename"]).expanduser().resolve()


def _missing_in_package(error: Exception) -> str | None:
    """Which config of a package is not there; None where the error is another."""
    for frame, _ in walk_tb(error.__traceback__):
        if frame.f_code.co_name == "_get_cfg_path" and "scope" in frame.f_locals:
            scope, name = frame.f_locals["scope"], str(frame.f_locals["cfg_path"]).strip()
            if scope not in MODULE2PACKAGE or not is_installed(MODULE2PACKAGE[scope]):
                return None
            folder = Path(get_installed_path(MODULE2PACKAGE[scope]), ".mim", "configs")
            known = [str(one.relative_to(folder)) for one in folder.rglob("*.py")]
            near = nearest(name.removeprefix(f"{scope}::"), known, cutoff=0.5)
            hint = f"did you mean {scope}::{near[0]}?" if near else f"they lie in {folder}"
            return f"there is no {scope}::{name.removeprefix(f'{scope}::')} for its _base_; {hint}"
    return None


def _line(file: Path, error: Exception) -> int | None:
    origin = error.__context__ if isinstance(error.__context__, SyntaxError) else error
    if isinstance(origin, SyntaxError):
        return origin.lineno
    lines = [n for f, n in walk_tb(error.__traceback__) if Path(f.f_code.co_filename) == file]
    return lines[-1] if lines else None


def refuse_paths_to_code(path: Path, part: Any, where: str = "") -> None:
    """Refuse a ``type`` that is no registered name in a config that is data.

    What is not registered mmengine looks for in modules, and calls: ``os.system``, and its own
    ``mmengine.load``, too. A module that has the name it imports.
    """
    items = part.items() if isinstance(part, dict) else enumerate(part)
    for key, value in items:
        if key == "type" and isinstance(value, str):
            if _names_code(value):
                raise ConfigError(
                    f"{path}: {where}type is {value!r}, a path to code; a config in YAML or JSON "
                    "names registered classes only"
                )
        elif isinstance(value, (dict, list, tuple)):
            refuse_paths_to_code(path, value, f"{where}{key}.")


def _names_code(name: str) -> bool:
    scope, _, registered = name.rpartition(".")
    if scope and (scope not in _SCOPES or hasattr(import_module(scope), registered)):
        return True
    return registered.isidentifier() and find_spec(registered) is not None


def _import_modules(path: Path, custom_imports: Any, leave_out: str | None) -> None:
    """What mmengine does with ``custom_imports``, told as a sentence."""
    try:
        names = custom_imports.get("imports") or []
        names = [names] if isinstance(names, str) else names
        names = [own_name(name) for name in names]
        wanted = [n for n in names if not (leave_out and n.startswith(own_name(leave_out)))]
        import_modules_from_strings(wanted, custom_imports.get("allow_failed_imports", False))
    except ImportError as error:
        cause = " ".join(str(error.__context__ or "").split())
        raise ConfigError(
            f"{path}: custom_imports: {error} ({cause}); modules are found from the repository's "
            "root and PYTHONPATH"
        ) from error
    except (TypeError, AttributeError) as error:
        raise ConfigError(
            f"{path}: custom_imports is {custom_imports!r}; give dict(imports=['a.module'])"
        ) from error
