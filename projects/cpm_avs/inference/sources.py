"""What a user may hand in, brought to clips: files, arrays, folders and lists of these."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from ..errors import BadSampleError, UserError
from ..media.kinds import kind_of
from ..media.opening import MOST_PIXELS, is_folder
from .arguments import check_rate, check_track
from .clip import Clip, Picture, SoundSource, pair_clip, video_clip
from .folders import Wanted, folder_clips

Source = str | Path | tuple[Picture, SoundSource] | Clip
OnError = Callable[[ValueError], None]
Result = TypeVar("Result")


def open_sources(
    source: Source | list[Source],
    *,
    audio: str | Path | None = None,
    audio_track: int | None = None,
    silent_ok: bool = False,
    picture_rate: float = 1.0,
    most_pixels: int = MOST_PIXELS,
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
        audio_track: Number of the sound track that is heard, from 1; None takes the default one.
        silent_ok: Whether a video without sound is taken as silent rather than refused.
        picture_rate: Numbered images of a folder in a second; AVSBench has one.
        most_pixels: Of each picture and each frame of a video.
        on_error: Called with what is wrong with a clip of a folder or a list, which is then left
            out; None raises it.

    Warns:
        UserWarning: Of a folder's files that belong to no clip, and of numbered images that are
            not as long as their sound.

    Raises:
        BadSampleError: A file can't be used; the message says why and what to do.
    """
    if audio is not None and not isinstance(audio, (str, Path)):
        raise UserError(f"audio of type {type(audio).__name__}: give the path of a sound file")
    wanted = Wanted(
        audio=None if audio is None else Path(audio),
        track=check_track(audio_track),
        silent_ok=silent_ok,
        picture_rate=check_rate("picture_rate", picture_rate),
        most_pixels=most_pixels,
    )
    if not isinstance(source, list):
        return _open_one(source, wanted, on_error)
    if not source:
        raise UserError("the list of sources is empty; give at least one")
    opened = (attempt(on_error, _open_one, one, wanted, on_error) for one in source)
    return [clip for found in opened for clips in found for clip in clips]


def _open_one(source: Source, wanted: Wanted, on_error: OnError | None) -> list[Clip]:
    if isinstance(source, Clip):
        return [source]
    if isinstance(source, tuple):
        if len(source) != 2:
            raise UserError(f"a source of {len(source)} parts is not known; give (image, sound)")
        return [pair_clip(*source, wanted.track, wanted.most_pixels)]
    if not isinstance(source, (str, Path)):
        raise UserError(
            f"a source of type {type(source).__name__} is not known; give a path, an (image, "
            "sound) pair or a list of these"
        )
    if not str(source):
        raise UserError("the name of the source is empty; give a path")
    path = Path(source)
    if is_folder(path):
        steps = folder_clips(path, wanted)
        return [clip for step in steps for clip in attempt(on_error, step)]
    if kind_of(path) != "picture":
        return [video_clip(path, wanted.audio, wanted.silent_ok, wanted.track, wanted.most_pixels)]
    if wanted.audio is None:
        raise BadSampleError(path, "is an image without a sound", "Name its sound: --audio FILE")
    return [pair_clip(path, wanted.audio, wanted.track, wanted.most_pixels)]


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
