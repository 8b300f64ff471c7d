"""What the message hub of a checkpoint says about its run, and how much of it a run believes."""

import math
import re
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import EpochBasedTrainLoop, Runner

from ...errors import UserError

#: What the message hub calls the epoch or iteration after which the last validation ended.
VALIDATED = "last_validated"
#: And what it calls the score, and the rule, by which the best checkpoint was chosen.
CHOSEN_BY = "best_chosen_by"


def plain(value: Any) -> Any:
    """A state in tensors and Python's numbers, so that a reader needs no classes beside these."""
    if isinstance(value, HistoryBuffer):
        history, counts = map(torch.as_tensor, value.data)
        return dict(history=history, counts=counts, max_length=value.max_length)
    if isinstance(value, np.ndarray):
        return torch.as_tensor(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def histories(scalars: dict[str, Any]) -> dict[str, Any]:
    """The message hub's ``log_scalars`` as it wants them, out of what ``plain`` made of them.

    Those that are histories already, of an older checkpoint, stay, and so does what is neither:
    mmengine reports and skips it.
    """
    return {
        name: HistoryBuffer(
            value["history"].cpu().numpy(), value["counts"].cpu().numpy(), value["max_length"]
        )
        if _is_history(value)
        else value
        for name, value in scalars.items()
    }


def _is_history(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() != {"history", "counts", "max_length"}:
        return False
    columns = value["history"], value["counts"]
    if not all(isinstance(column, torch.Tensor) and column.ndim == 1 for column in columns):
        return False
    return len(columns[0]) == len(columns[1]) and type(value["max_length"]) is int


def own_numbers(value: object) -> list[int]:
    """Numbers of checkpoints, of what should be a list of them."""
    return [n for n in value if type(n) is int and n >= 0] if isinstance(value, list) else []


def is_best_name(name: str, template: str) -> bool:
    """Whether mmengine would call a best checkpoint so.

    Args:
        name: Of a file.
        template: Name of the numbered checkpoints, with ``{}`` for the number.
    """
    numbered = r"\d+".join(map(re.escape, re.split(r"\{[^{}]*\}", template)))
    return re.fullmatch(rf"best_[^/\\]+_{numbered}", name) is not None


def is_score(value: object) -> bool:
    """Whether a new score can be better than this one."""
    return isinstance(value, (int, float)) and not math.isnan(value)


def tell_of_epoch_begun(runner: Runner) -> None:
    """Warn where a run goes on amid an epoch: MMEngine begins it anew, the schedule does not."""
    loop = runner.train_loop
    if not isinstance(loop, EpochBasedTrainLoop):
        return
    length = len(loop.dataloader)
    done = loop.iter - loop.epoch * length
    if 0 < done < length:  # else it had epochs of another length
        runner.logger.warning(
            f"iteration {loop.iter} is amid epoch {loop.epoch + 1} (of {length} iterations), which "
            f"begins anew: the run gets {done} more iterations than its schedule. Checkpoints by "
            "epoch (default_hooks.checkpoint.by_epoch) are resumed from exactly"
        )


def is_validation_due(runner: Runner) -> bool:
    """Whether the checkpoint that a run goes on from was written before a validation that is due.

    It is written before the validation of the same iteration, and again after it where that found a
    new best. So the message hub of the second one alone knows of the validation.
    """
    loop = runner.train_loop
    if loop.iter == 0 or runner.val_loop is None:
        return False
    step, last = loop.iter, loop.max_iters
    if isinstance(loop, EpochBasedTrainLoop):
        if loop.iter != loop.epoch * len(loop.dataloader):  # amid an epoch
            return False
        step, last = loop.epoch, loop.max_epochs
    loop._decide_current_val_interval()  # as the loop does before it asks the same
    due = step >= loop.val_begin and (step % loop.val_interval == 0 or step == last)
    return due and runner.message_hub.runtime_info.get(VALIDATED) != step


def unusable(key: str, found: object) -> UserError:
    """What to raise of a resumed checkpoint's entry that no hook of this project wrote."""
    return UserError(
        f"the checkpoint's {key} ({type(found).__name__}) is nothing that a run of this project "
        "wrote: it was damaged or changed. Resume from another checkpoint, or begin a new run with "
        "its weights: load_from without --resume"
    )
