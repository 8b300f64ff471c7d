"""Errors that the user can put right, and sentences that several of them share."""

from pathlib import Path

from .constants import REPOSITORY


class UserError(ValueError):
    """Something that the user can put right: the message says what was given and what to do.

    The tools print the message alone. An error that may arise in a DataLoader's worker must be of
    this class, which outlives the way to the main process; elsewhere a ``ValueError`` will do.
    """


class BadSampleError(UserError):
    """A file of the data can't be used: one of a sample, or an index.

    The data set reports and skips a sample in training, and raises at test or with ``strict=True``.

    Args:
        path: The file. Alone it is the whole message: so torch makes the error of a DataLoader's
            worker anew in the main process.
        reason: What is wrong with it.
        remedy: What to do.
    """

    def __init__(self, path: str | Path, reason: str = "", remedy: str = "") -> None:
        super().__init__(f"{path}: {reason}. {remedy}" if reason else str(path))
        self.path, self.reason, self.remedy = str(path), reason, remedy


def looked_for(path: str | Path) -> str:
    """Where a relative path that is not there was looked for, and where it is instead.

    Configs name weights and data relative to the repository, from which the tools are started.

    Returns:
        Part of a sentence, which begins with a space; empty for a path from the root on.
    """
    if Path(path).is_absolute():
        return ""
    there = (REPOSITORY / path).exists()
    hint = f"; it is in {REPOSITORY}: start the tool there, or give the whole path" if there else ""
    return f" (looked for in {Path.cwd()}{hint})"


#: What is said where a sample has no sound, as those have none that mmseg's clients make.
PICTURE_ALONE = (
    "this sample is a picture without sound: its pipeline lacks LoadAudioWindow or its like, or it "
    "comes from a tool that shows pictures alone, as mmseg's inference_model, MMSegInferencer and "
    "get_flops.py do; docs/mmseg-tools.md names what to use instead"
)
