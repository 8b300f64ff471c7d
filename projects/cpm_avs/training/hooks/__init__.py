"""Hooks of training: when things happen.

The order within ``after_train_iter`` is by priority, low numbers first: RuntimeInfoHook (10);
EMUpdateHook, StabilityHook, SkipReportHook and FiniteLossHook (50); LoggerHook (60);
ParamSchedulerHook (70); RandomStateHook (85), which closes the step; ExactCheckpointHook (90).
SyncBuffersHook has no place here: it averages all buffers over the ranks, and would smear the
memory bank and its counters.
"""

from .acp_quality_hook import ACPQualityHook
from .checkpoint_hook import AtomicLocalBackend, CollectedStateHook, ExactCheckpointHook
from .em_update_hook import EMUpdateHook
from .finite_loss_hook import FiniteLossHook
from .freeze_hook import FreezeHook
from .random_state_hook import RandomStateHook
from .skip_report_hook import SkipReportHook
from .stability_hook import StabilityHook

__all__ = [
    "ACPQualityHook",
    "AtomicLocalBackend",
    "CollectedStateHook",
    "EMUpdateHook",
    "ExactCheckpointHook",
    "FiniteLossHook",
    "FreezeHook",
    "RandomStateHook",
    "SkipReportHook",
    "StabilityHook",
]
