"""One package, two names: ``cpm_avs`` where installed, ``projects.cpm_avs`` in a checkout.

Whichever is imported first is the package, and the other leads to the same modules. A second import
of the files would register every class again, which MMEngine's registries refuse.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

NAMES = ("cpm_avs", "projects.cpm_avs")
#: The package's name in this process.
PACKAGE = __name__.removesuffix(".two_names")


def own_name(module: str) -> str:
    """The name in this process of a module that is called by either; others stay as they are.

    >>> own_name("numpy.random")
    'numpy.random'
    """
    for name in NAMES:
        if f"{module}.".startswith(f"{name}."):
            return PACKAGE + module.removeprefix(name)
    return module


class _SecondName(MetaPathFinder, Loader):
    """Finds a module's second name, and loads the module that has it already."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if own_name(fullname) == fullname else ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(own_name(spec.name))
        spec.loader_state = module.__spec__  # which Python replaces by the one given
        return module

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def answer_to_both_names() -> None:
    """Let what imports the package by its second name have the modules of the first."""
    sys.meta_path.insert(0, _SecondName())
