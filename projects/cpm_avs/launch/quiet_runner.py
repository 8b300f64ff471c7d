"""A runner whose screen shows the run; what it starts from goes to the log file."""

import logging
import re
from typing import Any

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
    """MMEngine's, with a filter on what reaches the screen; the log file has everything."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        logger = super().build_logger(*args, **kwargs)
        files = [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]
        for handler in logger.handlers:
            if handler not in files:
                handler.addFilter(self._is_for_the_screen)
        for handler in files:
            logger.info(
                f"Environment, config, hooks and initial weights are in {handler.baseFilename}"
            )
        return logger

    def _is_for_the_screen(self, record: logging.LogRecord) -> bool:
        training = self._train_loop is not None and not isinstance(self._train_loop, dict)
        hidden = (*_START, *_NOISE, *(_PER_CLASS if training else ()))
        return not any(re.match(pattern, record.getMessage()) for pattern in hidden)
