"""A stand-in for mmcv's compiled operators, so that the CPU needs no build.

``import mmcv.ops`` (and with it mmdet) fails without the extension module ``mmcv._ext``. The model
needs none of its operators on the CPU: deformable attention has a pure PyTorch path there. The
stand-in lets the import pass and raises at the first call of an operator that is really missing.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import Any, NoReturn


def install_command() -> str:
    """Compiles the operators of the mmcv that is installed: onedl-mmcv or upstream's."""
    package = metadata.packages_distributions()["mmcv"][0]
    release = metadata.version(package)
    options = "--no-cache-dir --no-build-isolation --force-reinstall --no-deps"
    if package.startswith("onedl"):
        return f"pip install {options} --no-binary {package} {package}=={release}"
    # mmcv-lite is upstream's mmcv without operators, in the same folder.
    build = f"MMCV_WITH_OPS=1 pip install {options} --no-binary mmcv mmcv=={release}"
    return f"pip uninstall --yes {package}; {build}"


class _MissingOps(ModuleType):
    """Stands where ``mmcv._ext`` would be; every operator exists and refuses to run."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"mmcv's operator {name!r} is not compiled in this environment. "
                f"Compile it with: {install_command()}"
            )

        return missing


def ensure_mmcv_ops() -> bool:
    """Make ``import mmcv.ops`` work. Returns True where the compiled operators are there."""
    if "mmcv._ext" in sys.modules:
        return not isinstance(sys.modules["mmcv._ext"], _MissingOps)
    if importlib.util.find_spec("mmcv._ext") is not None:
        return True
    stand_in = _MissingOps("mmcv._ext")
    stand_in.__spec__ = ModuleSpec("mmcv._ext", None)
    sys.modules["mmcv._ext"] = stand_in
    _bind_operators()
    return False


def _bind_operators() -> None:
    """Give the operators to what was imported before the stand-in was there.

    MMDetection and MMSegmentation bind a substitute where the import of an operator fails, which
    refuses to work for as long as the process lives. Here these imports are made again.
    """
    replaced: dict[int, tuple[Any, Any]] = {}
    for package in ("mmcv", "mmdet", "mmseg"):  # the later take names from the earlier
        for module in _loaded_modules(package):
            for operator, name in _attempted_imports(module):
                substitute = vars(module).get(name)
                if substitute is not None:
                    replaced[id(substitute)] = substitute, operator
                setattr(module, name, operator)
        for module in _loaded_modules(package):  # that took a substitute from the module beside
            for name, value in list(vars(module).items()):
                if id(value) in replaced:
                    setattr(module, name, replaced[id(value)][1])


def _loaded_modules(package: str) -> list[ModuleType]:
    loaded = list(sys.modules.items())
    return [module for name, module in loaded if name.partition(".")[0] == package]


def _attempted_imports(module: ModuleType) -> Iterator[tuple[Any, str]]:
    """What a module's ``try: from mmcv.ops import ...`` asks for, and the name that it gives it."""
    loader = module.__loader__
    source = loader.get_source(module.__name__) if isinstance(loader, SourceFileLoader) else None
    if source is None or "mmcv." not in source:
        return
    attempts = [node for node in ast.parse(source).body if isinstance(node, ast.Try)]
    for node in (node for attempt in attempts for node in attempt.body):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("mmcv."):
            origin = importlib.import_module(str(node.module))
            for alias in node.names:
                if hasattr(origin, alias.name):
                    yield getattr(origin, alias.name), alias.asname or alias.name
