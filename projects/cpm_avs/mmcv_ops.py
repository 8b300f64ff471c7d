"""A stand-in for mmcv's compiled operators, so that the CPU needs no build.

``import mmcv.ops`` (and with it mmdet) fails without the extension module ``mmcv._ext``. The model
needs none of its operators on the CPU: deformable attention has a pure PyTorch path there. The
stand-in lets the import pass and raises at the first call of an operator that is really missing.
"""

import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

INSTALL_COMMAND = (
    "pip install --no-cache-dir --no-build-isolation --no-binary onedl-mmcv --force-reinstall "
    "--no-deps onedl-mmcv==2.3.6"
)


class _MissingOps(ModuleType):
    """Stands where ``mmcv._ext`` would be; every operator exists and refuses to run."""

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        if name.startswith("__"):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            raise RuntimeError(
                f"mmcv's operator {name!r} is not compiled in this environment. "
                f"Compile it with: {INSTALL_COMMAND}"
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
    return False
