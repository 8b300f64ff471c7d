"""A runner whose screen shows the run; what it starts from goes to the log file."""

import logging
import re
import sys
from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Any
from weakref import ref

from mmengine.logging import MMLogger
from mmengine.runner import Runner

#: MMEngine's messages of a start: 2,000 lines, one or more for every parameter.
_START = (
    r"\n-+\nSystem environment",
    r"Config:\n",
    r"Hooks will be executed",
    r"paramwise_options",
    r"\S+ is skipped since its requires_grad=False",
    r"\nName of parameter - Initialization information",
    r"Loads checkpoint by",
    r"Distributed training is not used",
)
#: Warnings of MMEngine's own calls, and of names that are as they are meant.
_NOISE = (
    r'"FileClient" will be deprecated',
    r'"HardDiskBackend" is the alias',
    r"The prefix is not set in metric class",
)
#: A line a class: wanted after a test, not at each validation.
_PER_CLASS = (r"Per class",)


class QuietRunner(Runner):
    """MMEngine's, with a filter on what reaches the screen; the log file has everything.

    A run whose output is a pipe ends with who reads it, as other programs do.
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        # The logger outlives the run, which it must not keep: gloo's threads would live on with it.
        runner = ref(self)
        files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in logger.handlers:
            if handler not in files:
                handler.addFilter(lambda record: _is_for_the_screen(record, runner()))
                end = partial(_end_with_reader, handler, files)
                handler.handleError = end
        for handler in files:
            logger.info(
                f"Environment, config, hooks and initial weights are in {handler.baseFilename}"
            )
        return logger


def _end_with_reader(
    handler: logging.Handler, files: Sequence[logging.Handler], record: logging.LogRecord
) -> None:
    """Raise what logging would print at every line from now on, and go on."""
    if not isinstance(sys.exc_info()[1], BrokenPipeError):
        logging.Handler.handleError(handler, record)
        return
    last = copy(record)
    last.levelno, last.levelname, last.args = logging.WARNING, "WARNING", ()
    last.msg = (
        "What read the output, as `| head` does, is gone, and the run ends with it; send the "
        "output to a file, and go on with --resume"
    )
    for file in files:
        file.handle(record)
        file.handle(last)
    raise


def _is_for_the_screen(record: logging.LogRecord, runner: Runner | None) -> bool:
    loop = getattr(runner, "_train_loop", None)
    training = loop is not None and not isinstance(loop, dict)
    hidden = (*_START, *_NOISE, *(_PER_CLASS if training else ()))
    return not any(re.match(pattern, record.getMessage()) for pattern in hidden)
