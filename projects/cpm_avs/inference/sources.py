"""What a user may hand in, brought to clips: files, arrays, folders and lists of these."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TypeVar

from ..media.video_io import Frame
from ..structures import BadSampleError, UserError
from .clip import Clip, Picture, SoundSource, pair_clip, read_image, video_clip

IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
SOUND_SUFFIXES = {".wav", ".mp3", ".ogg", ".flac", ".m4a", ".aac", ".opus"}
VIDEO_SUFFIXES = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".3gp", ".ts"}
# AVSBench pairs frame k with the 0.96 s from second k on; this is the middle of them.
_AVSBENCH_CENTRE = 0.48

Source = str | Path | tuple[Picture, SoundSource] | Clip
OnError = Callable[[ValueError], None]
Result = TypeVar("Result")


def open_sources(
    source: Source | list[Source],
    *,
    audio: str | Path | None = None,
    silent_ok: bool = False,
    most_pixels: int | None = None,
    on_error: OnError | None = None,
) -> list[Clip]:
    """Clips of a source.

    Args:
        source: A video file; an image and a sound (files or arrays: BGR uint8 (H, W, 3) or
            (N, H, W, 3), and (L,) or (A, L) at 16 kHz or with its rate, floats in [-1, 1] or
            signed integers of full range); an image file with ``audio``; a folder of videos, of
            images each with a sound of its name, or of numbered images, also in a folder ``frames``
            of its own, with one sound, as in AVSBench; a clip opened before; or a list of these.
        audio: Sound file that takes the place of a video's own, or goes with an image or with a
            folder of images.
        silent_ok: Whether a video without sound is taken as silent rather than refused.
        most_pixels: Of each frame of a video; None sets no limit.
        on_error: Called with what is wrong with a clip of a folder or a list, which is then left
            out; None raises it.

    Raises:
        BadSampleError: A file can't be used; the message says why and what to do.
    """
    if audio is not None and not isinstance(audio, (str, Path)):
        raise UserError(f"audio of type {type(audio).__name__}: give the path of a sound file")
    if isinstance(source, list):
        if not source:
            raise UserError("the list of sources is empty; give at least one")
        open_one = partial(
            open_sources,
            audio=audio,
            silent_ok=silent_ok,
            most_pixels=most_pixels,
            on_error=on_error,
        )
        return [
            clip for one in source for clips in attempt(on_error, open_one, one) for clip in clips
        ]
    if isinstance(source, Clip):
        return [source]
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UserError(f"a source of {len(source)} parts is not known; give (image, sound)")
        return [pair_clip(*source)]
    if not isinstance(source, (str, Path)):
        raise UserError(
            f"a source of type {type(source).__name__} is not known; give a path, an (image, "
            "sound) pair or a list of these"
        )
    path = Path(source)
    if path.is_dir():
        return _folder_clips(path, audio, silent_ok, most_pixels, on_error)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        if audio is None:
            raise BadSampleError(
                path, "is an image without a sound", "Name its sound: --audio FILE"
            )
        return [pair_clip(path, audio)]
    return [video_clip(path, audio, silent_ok, most_pixels)]


def attempt(
    on_error: OnError | None, step: Callable[..., Result], *args: object
) -> Iterator[Result]:
    """What a step gives; nothing where it fails and ``on_error`` takes the error."""
    try:
        result = step(*args)
    except ValueError as error:
        if on_error is None:
            raise
        on_error(error)
    else:
        yield result


def _folder_clips(
    folder: Path,
    audio: str | Path | None,
    silent_ok: bool,
    most_pixels: int | None,
    on_error: OnError | None,
) -> list[Clip]:
    files = sorted(folder.iterdir(), key=_natural)
    videos = [path for path in files if path.suffix.lower() in VIDEO_SUFFIXES]
    images = [path for path in files if path.suffix.lower() in IMAGE_SUFFIXES]
    sounds = [path for path in files if path.suffix.lower() in SOUND_SUFFIXES]
    if not videos and not images and (folder / "frames").is_dir():  # AVSBench-semantic
        images = [p for p in (folder / "frames").iterdir() if p.suffix.lower() in IMAGE_SUFFIXES]
    by_stem = {path.stem: path for path in sounds}
    if audio is not None:  # in place of every sound in the folder
        by_stem = dict.fromkeys(by_stem, Path(audio))
        sounds = [Path(audio)] if sounds or not videos else []
    paired = [path for path in images if path.stem in by_stem]
    steps: list[Callable[[], Clip]] = [
        partial(video_clip, path, audio, silent_ok, most_pixels) for path in videos
    ]
    if images and not paired and len(sounds) == 1:
        steps.append(partial(_avsbench_clip, folder, images, sounds[0]))
    steps += [partial(pair_clip, path, by_stem[path.stem]) for path in paired]
    if not steps:
        raise BadSampleError(
            folder,
            "holds no video, and no image with its sound",
            "Put videos into it, or NAME.jpg beside NAME.wav, or numbered frames and one sound",
        )
    return [clip for step in steps for clip in attempt(on_error, step)]


def _avsbench_clip(folder: Path, images: list[Path], sound: Path) -> Clip:
    """Each frame with its own second; ``0.png`` beside ``0.jpg`` is a label, not a frame."""
    frames_of = {path.stem: path for path in sorted(images, key=lambda p: p.suffix != ".png")}
    by_second = _seconds(folder, frames_of)
    base = pair_clip(read_image(next(iter(by_second.values()))), sound)

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        for second, path in by_second.items():
            if second >= start and (end is None or second < end):
                yield Frame(second + _AVSBENCH_CENTRE, read_image(path), shown_from=float(second))

    return replace(
        base,
        name=folder.resolve().name,  # of `..` it is the folder's own
        num_frames=len(by_second),
        rate=Fraction(1),
        frames=frames,
        duration=max(base.duration, float(max(by_second) + 1)),
        is_video=len(by_second) > 1,
        files=(*by_second.values(), sound),
    )


def _seconds(folder: Path, frames_of: Mapping[str, Path]) -> dict[int, Path]:
    """Frames by the second that they show, rising.

    ``0.jpg`` shows second 0 (AVSBench-semantic), and so does ``NAME_1.png`` (S4 and MS3), unless
    the folder has a frame 0.
    """
    numbers = {stem: re.search(r"\d+$", stem) for stem in frames_of}
    numbered = [(int(found[0]), frames_of[stem]) for stem, found in numbers.items() if found]
    by_number = dict(sorted(numbered))
    if len(by_number) < len(frames_of):
        raise BadSampleError(
            folder,
            "holds one sound and images that are not numbered, each by a number of its own",
            "Name them by the second that each shows: 0.jpg, 1.jpg, ...",
        )
    first = 0 if 0 in by_number or any(stem.isdecimal() for stem in frames_of) else 1
    return {number - first: path for number, path in by_number.items()}


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
