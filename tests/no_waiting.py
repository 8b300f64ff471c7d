"""What mmengine makes each run wait for, and no test looks at."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from mmengine.dataset import base_dataset
from yapf.yapflib import yapf_api


def spare(replace: Callable[[Any, str, Any], None] = setattr) -> None:
    """No collection of garbage for each data set, and no layout of a config that a run prints.

    Args:
        replace: Sets an attribute, as ``setattr``.
    """
    replace(base_dataset, "gc", SimpleNamespace(collect=lambda: 0))
    replace(yapf_api, "FormatCode", lambda text, **_: (text, True))
