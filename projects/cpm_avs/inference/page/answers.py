"""What the web page says and gives: limits, sentences, the summary and the zip."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ...errors import BadSampleError
from ..clip import Clip
from ..results import ClipResult, known_objects

MOST_PIXELS = 4096 * 2304  # of a frame


@dataclass(frozen=True)
class Limits:
    """What one person may ask of the server.

    Attributes:
        seconds: Longest clip.
        megabytes: Largest upload.
        at_once: Clips segmented at the same time; others wait.
    """

    seconds: float = 60.0
    megabytes: int = 100
    at_once: int = 2


class PageError(gr.Error):
    """A sentence for the person at the page; it names no file of the server."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, print_exception=False, title="This did not work")


def check_upload(clip: Clip, limits: Limits) -> None:
    """Refuse what would keep the server busy for too long."""
    if clip.duration > limits.seconds:
        raise PageError(
            f"The clip lasts {clip.duration:.0f} s, and at most {limits.seconds:g} s are taken; "
            "please cut it."
        )
    if clip.num_frames > 240 * limits.seconds:
        raise PageError("The clip has too many frames; please give at most 240 per second.")


def explain(error: BadSampleError) -> str:
    """The error without the server's path."""
    if "no sound track" in error.reason:
        return (
            "The clip has no sound track. Please give one with sound, or tick "
            "'Go on if the clip has no sound' in the settings."
        )
    # Some errors are of a part of the file: "the sound is not finite".
    subject = "" if error.reason.startswith("the ") else "the file "
    problem = f"{subject}{error.reason}"
    remedy = f"{error.remedy[0].lower()}{error.remedy[1:]}"
    if "--" in remedy or "is no picture" in error.reason:  # an option, or what the page can't use
        remedy = "give a video with its sound"
    elif "index" in remedy:  # of a data set
        remedy = "give another one"
    return f"{problem[0].upper()}{problem[1:]}. Please {remedy}."


def introduce(classes: Sequence[str]) -> str:
    """The page's first lines, as Markdown.

    Args:
        classes: The model's, by label.
    """
    lines = [
        "# What sounds?",
        "Give a short clip with sound. The objects that sound are coloured, frame by frame.",
    ]
    if known := known_objects(classes):
        lines += ["", f"This model knows {known.replace('_', ' ')}, and no other object."]
    return "\n".join(lines)


def describe(result: ClipResult) -> str:
    """What sounds when, as Markdown."""
    if not result.segments:
        return "**None of the objects that the model knows is heard.**"
    lines = [
        f"- **{one.name}** {one.start:.1f} to {one.end:.1f} s ({one.score:.0%} sure)"
        for one in result.segments
    ]
    return "\n".join(["**What sounds when**", "", *lines])


def zip_masks(result: ClipResult, path: Path) -> Path:
    """The class maps and the report in one file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        archive.write(result.files["report"], "report.json")
        for mask in sorted(result.files["masks"].iterdir()):
            archive.write(mask, f"masks/{mask.name}")
    return path
