"""A report of what sounds when, written while the clip is read."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from .clip import Clip
from .results import FrameResult, Segment


class ReportWriter:
    """A JSON of what sounds when, written line by line so that its length costs no memory.

    Args:
        path: File to write.
        clip: Its name and duration are noted.
        classes: Names by label.
    """

    def __init__(self, path: Path, clip: Clip, classes: Sequence[str]) -> None:
        self.path = path
        path.unlink(missing_ok=True)  # its masks are gone
        self._part = path.with_name(f".{path.name}.part")  # in its place when it is finished
        self._file = self._part.open("w", encoding="utf-8")
        head = dict(clip=clip.name, duration=round(clip.duration, 3), classes=list(classes))
        self._file.write(json.dumps(head)[:-1] + ',\n"frames": [')
        self._separator = "\n"

    def write(self, result: FrameResult, mask: str | None) -> None:
        """Add a predicted frame."""
        objects = [
            dict(name=one.name, label=one.label, score=round(one.score, 4), area=round(one.area, 5))
            for one in result.objects
        ]
        entry = dict(time=round(result.time, 4), mask=mask, objects=objects)
        self._file.write(self._separator + json.dumps(entry))
        self._separator = ",\n"

    def close(self, segments: list[Segment]) -> None:
        """Add what sounds when and finish the file."""
        sounding = [
            dict(name=one.name, label=one.label, start=round(one.start, 3),
                 end=round(one.end, 3), score=round(one.score, 4), area=round(one.area, 5))
            for one in segments
        ]  # fmt: skip
        self._file.write('\n],\n"sounding": ' + json.dumps(sounding) + "}\n")
        self._file.close()
        os.replace(self._part, self.path)

    def abort(self) -> None:
        """Take the unfinished file away; a full disk must not hide what went wrong."""
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)
