"""What the tools share: errors, options, config, processes, fit of checkpoints."""

from .building import build_dataset, built_from
from .checkpoint_fit import CheckpointFitHook
from .config import load_config, read_config
from .errors import plain_errors
from .going_on import go_on
from .model_fit_hook import ModelFitHook
from .options import (
    FIGURES,
    add_cfg_options,
    add_common_options,
    add_device_option,
    add_model_options,
    add_speed_options,
    at_least,
    output_file,
    output_folder,
    setting,
)
from .processes import (
    claim_work_folder,
    end_with_launcher,
    keep_freed_memory,
    leave_processes,
    meet_without_gpu,
)
from .prompted_model import load_prompted
from .quiet_runner import QuietRunner
from .resume_fit import ResumedCheckpointHook

__all__ = [
    "FIGURES",
    "CheckpointFitHook",
    "ModelFitHook",
    "QuietRunner",
    "ResumedCheckpointHook",
    "add_cfg_options",
    "add_common_options",
    "add_device_option",
    "add_model_options",
    "add_speed_options",
    "at_least",
    "build_dataset",
    "built_from",
    "claim_work_folder",
    "end_with_launcher",
    "go_on",
    "keep_freed_memory",
    "leave_processes",
    "load_config",
    "load_prompted",
    "meet_without_gpu",
    "output_file",
    "output_folder",
    "plain_errors",
    "read_config",
    "setting",
]
