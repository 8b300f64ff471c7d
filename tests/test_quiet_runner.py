"""What of a run's start reaches the screen, and what its log file keeps."""

import logging
import os
import re
from contextlib import suppress

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.runner import Runner

from projects.cpm_avs.launch import QuietRunner, built_from, plain_errors, quiet_runner


def _records(logger: logging.Logger, monkeypatch) -> dict[str, list[str]]:
    """Messages by kind of handler, from now on."""
    seen: dict[str, list[str]] = {"screen": [], "file": []}
    for handler in logger.handlers:
        kind = "file" if isinstance(handler, logging.FileHandler) else "screen"
        monkeypatch.setattr(handler, "emit", lambda r, k=kind: seen[k].append(r.getMessage()))
    return seen


def test_the_screen_is_spared_the_start_and_the_classes(tmp_path, monkeypatch, capfd):
    cfg = Config(
        dict(
            model=dict(type="ToyModel"),
            work_dir=str(tmp_path),
            default_scope="mmseg",
            experiment_name="quiet",
        )
    )
    monkeypatch.setattr(Runner, "build_model", lambda self, model: torch.nn.Linear(1, 1))
    runner = QuietRunner.from_cfg(cfg)
    printed = capfd.readouterr()
    screen = printed.out + printed.err
    (log,) = tmp_path.glob("*/*.log")
    assert str(log) in screen and len(screen.splitlines()) < 10
    kept = log.read_text()
    for told in ("System environment", "Config:", "Hooks will be executed"):
        assert told in kept and told not in screen

    seen = _records(runner.logger, monkeypatch)
    runner.logger.info("paramwise_options -- backbone.conv.weight:lr=1e-05")
    runner.logger.info("Per class, in percent\n| cat | 1 |")
    runner._train_loop = object()  # as in training
    runner.logger.info("Per class, in percent\n| cat | 2 |")
    runner.logger.warning("a clip is damaged")
    assert seen["screen"] == ["Per class, in percent\n| cat | 1 |", "a clip is damaged"]
    assert len(seen["file"]) == 4


def test_a_run_ends_with_who_reads_its_output(tmp_path, monkeypatch, capfd):
    """logging would print "--- Logging error ---" at each line, and training go on unseen."""
    monkeypatch.setattr(Runner, "build_model", lambda self, model: torch.nn.Linear(1, 1))
    cfg = Config(dict(model=dict(type="ToyModel"), work_dir=str(tmp_path), experiment_name="pipe"))
    logger = QuietRunner.from_cfg(cfg).logger
    reading, writing = os.pipe()
    screen = next(one for one in logger.handlers if not isinstance(one, logging.FileHandler))
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(screen, "stream", pipe)
        logger.info("iteration %d", 1)
        os.close(reading)
        with pytest.raises(SystemExit) as end, plain_errors(), built_from(cfg):
            logger.info("iteration %d", 2)
        with suppress(BrokenPipeError):
            pipe.close()
    assert end.value.code == 141 and "Logging error" not in capfd.readouterr().err
    (log,) = tmp_path.glob("*/*.log")
    assert re.search(r"iteration 2\n.*WARNING - What read the output.*--resume\n", log.read_text())
    monkeypatch.setattr(screen, "stream", None)
    logger.info("iteration %d", 3)  # another error is logging's own
    assert "Logging error" in capfd.readouterr().err


def test_the_patterns_are_mmengines_words(monkeypatch):
    logger = MMLogger.get_instance("words")
    seen = _records(logger, monkeypatch)
    model = torch.nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    DefaultOptimWrapperConstructor(
        dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)),
        paramwise_cfg=dict(custom_keys=dict(weight=dict(lr_mult=0.1))),
    )(model)
    messages = seen["screen"]
    assert len(messages) > 2
    assert [m for m in messages if not any(re.match(p, m) for p in quiet_runner._START)] == []
