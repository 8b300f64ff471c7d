"""Learning rates of training that MMEngine has not."""

from typing import Any

from mmengine.optim import CosineAnnealingLR
from mmseg.registry import PARAM_SCHEDULERS

FOREVER = int(1e9)  # MMEngine's "until the end"


@PARAM_SCHEDULERS.register_module()
class CosineAfterWarmupLR(CosineAnnealingLR):
    """``CosineAnnealingLR`` behind a warm-up, for runs of any length.

    MMEngine refuses a schedule that begins where training has ended already, as in a smoke run of
    fewer iterations than the warm-up. There this one begins with the last step.

    Args:
        begin: Step at which the warm-up ends.
        end: Step at which training ends; the runner fills it in.
    """

    def __init__(
        self,
        optimizer: Any,
        *,
        begin: int = 0,
        end: int = FOREVER,
        **kwargs: Any,  # to CosineAnnealingLR
    ) -> None:
        super().__init__(optimizer, begin=min(begin, end - 1), end=end, **kwargs)
