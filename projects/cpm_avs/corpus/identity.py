"""What a folder of results is of: the model by its content, and the settings."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..errors import UserError
from ..files import sha256_of, write_whole
from .shards import TABLES, shards_of
from .worker import Job

NAME = "corpus.json"


@dataclass(frozen=True)
class Identity:
    """What must be the same for results to stand side by side.

    Attributes:
        model: Names and fingerprints of config and checkpoint.
        settings: Frames a second, length of pieces and so on, as typed.
    """

    model: dict[str, str]
    settings: dict[str, Any]

    @classmethod
    def of(cls, config: Config, job: Job) -> "Identity":
        """Of a run; how the model is batched or recorded makes no other results."""
        parts = {key: config.get(key) for key in ("model", "test_pipeline", "test_dataloader")}
        text = json.dumps(parts, sort_keys=True, default=str)
        model = dict(
            config=Path(config.filename or "config").stem,
            config_sha256=hashlib.sha256(text.encode()).hexdigest(),
            checkpoint=job.checkpoint.name,
            checkpoint_sha256=sha256_of(job.checkpoint),
        )
        settings = dict(
            fps=job.fps, piece=job.piece, silent_ok=job.silent_ok, precision=job.precision
        )
        return cls(model, settings)

    def check(self, folder: Path) -> None:
        """Hold it against what a folder has.

        Raises:
            UserError: The folder has results of another model, or made otherwise, or files of
                others where results go.
        """
        path = folder / NAME
        # It is written before the first shard.
        if not path.exists() and any(shards_of(folder, table) for table in TABLES):
            raise UserError(f"{folder}: holds tables and no {NAME}; give --out a new folder")
        there = _read(path) if path.exists() else vars(self)
        differing = [
            f"{key} {there.get(part, {}).get(key)!r} (now {value!r})"
            for part, own in vars(self).items()
            for key, value in own.items()
            if there.get(part, {}).get(key) != value
        ]
        if differing:
            raise UserError(
                f"{folder}: has results of {', '.join(differing)}; give --out another folder, or "
                "the same model and settings"
            )

    def note(self, folder: Path, classes: Sequence[str]) -> None:
        """Write it into a folder, with the classes' names by label."""
        content = dict(vars(self), classes=list(classes))
        write_whole(folder / NAME, json.dumps(content, indent=2) + "\n")


def classes_of(folder: Path) -> tuple[str, ...]:
    """Names by label of a folder of results.

    Raises:
        UserError: There are none in it.
    """
    path = folder / NAME
    if not path.exists():
        raise UserError(f"{folder}: has no {NAME}; name a folder that `corpus --out` wrote")
    return tuple(_read(path).get("classes", ()))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: is no JSON ({error}); name another folder") from error
    return content if isinstance(content, dict) else {}
