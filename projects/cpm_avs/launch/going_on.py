"""What a run begins with: weights of another, its own latest checkpoint, or nothing."""

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from ..errors import UserError
from ..work_folder import latest_checkpoint


def go_on(cfg: Config, resume: str | bool) -> None:
    """Settle what the run begins with; ``load_from`` alone is where a new run has weights from.

    MMEngine would resume from ``load_from``: from what a run that goes on once began with.

    Args:
        cfg: Gets ``resume`` and ``load_from`` as MMEngine reads them.
        resume: File to go on from, True for the latest in the work folder, or False.

    Raises:
        UserError: ``load_from`` is a checkpoint of this very run.
    """
    cfg.resume = bool(resume)
    start = cfg.get("load_from")
    if isinstance(resume, str):
        cfg.load_from = resume
    elif resume and start:
        if Path(start).resolve().parent == Path(cfg.work_dir).resolve():
            raise UserError(f"load_from is where a run begins; to go on from it: --resume {start}")
        if latest_checkpoint(cfg.work_dir) is not None:
            cfg.load_from = None
        else:
            cfg.resume = False
            print_log(
                f"nothing to resume in {cfg.work_dir}: beginning with the weights of {start}; to "
                f"go on with its state: --resume {start}",
                "current",
            )
