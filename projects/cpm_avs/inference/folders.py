"""Clips of a folder: videos, pictures each with a sound, or numbered pictures and a sound."""

import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

from ..errors import BadSampleError
from ..media.kinds import called, kind_of, visible
from ..media.opening import MOST_PIXELS, forbidden, is_folder
from ..media.video_io import Frame
from .clip import Clip, pair_clip, read_image, video_clip

# AVSBench pairs frame k with the 0.96 s from second k on; this is the middle of them.
_AVSBENCH_CENTRE = 0.48
_NUMBER = re.compile(r"\d+$")
_MOST_NAMED = 10  # files in one warning
_MOST_PER_SECOND = 2  # pictures, from which on they can't be meant to be one a second
_TOLERANCE = 1.0  # seconds by which pictures and sound may differ without a word


@dataclass(frozen=True)
class Wanted:
    """How sources are to be read, as in ``open_sources``."""

    audio: Path | None = None
    track: int | None = None
    silent_ok: bool = False
    picture_rate: float = 1.0
    most_pixels: int = MOST_PIXELS


def folder_clips(folder: Path, wanted: Wanted) -> list[Callable[[], Clip]]:
    """What opens each clip of a folder; a warning names the files that belong to none.

    What a file is, its decoder says, and not its name. One that is called a picture, sound or video
    and can't be decoded counts as a clip, whose opening says why.

    Raises:
        BadSampleError: There is no clip in it.
    """
    kinds, unknown = _sort(folder, wanted.audio)
    if not kinds["video"] and not kinds["picture"] and (folder / "frames").is_dir():
        kinds["picture"] = _sort(folder / "frames", None)[0]["picture"]  # AVSBench-semantic
    images, sounds = kinds["picture"], kinds["sound"]
    by_stem = {path.stem: path for path in sounds}
    if wanted.audio is not None:  # in place of every sound in the folder
        by_stem = dict.fromkeys(by_stem, wanted.audio)
        sounds = [wanted.audio] if sounds or not kinds["video"] else []
    paired = [path for path in images if path.stem in by_stem]
    steps: list[Callable[[], Clip]] = [
        partial(video_clip, path, wanted.audio, wanted.silent_ok, wanted.track, wanted.most_pixels)
        for path in kinds["video"]
    ]
    alone = {path: "it is a picture without a sound of its name" for path in images}
    stems = {path.stem for path in paired}
    alone |= {
        path: "it is a sound without a picture of its name"
        for path in kinds["sound"]
        if path.stem not in stems
    }
    numbered = all(_NUMBER.search(path.stem) for path in images)
    # Beside videos a picture or two may lie about.
    if images and not paired and len(sounds) == 1 and (numbered or not kinds["video"]):
        steps.append(partial(numbered_clip, folder, images, sounds[0], wanted))
        alone = {}
    steps += [
        partial(pair_clip, path, by_stem[path.stem], wanted.track, wanted.most_pixels)
        for path in paired
    ]
    if not steps:
        raise BadSampleError(
            folder,
            "holds no video, and no image with its sound",
            "Put videos into it, or NAME.jpg beside NAME.wav, or numbered frames and one sound",
        )
    left_out = unknown | {path: why for path, why in alone.items() if path not in paired}
    if left_out:
        names = [f"{path.name} ({why})" for path, why in left_out.items()]
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        warnings.warn(f"{folder}: left out {', '.join(names[:_MOST_NAMED])}{more}", stacklevel=2)
    return steps


def _sort(folder: Path, but: Path | None) -> tuple[dict[str, list[Path]], dict[Path, str]]:
    """Files by what they are, in natural order, and those that are nothing, with the reason."""
    kinds: dict[str, list[Path]] = {"picture": [], "sound": [], "video": []}
    unknown: dict[Path, str] = {}
    try:
        paths = sorted(visible(folder.iterdir()), key=_natural)
    except PermissionError as error:
        raise forbidden(folder) from error
    for path in paths:
        if is_folder(path) or (but is not None and but.exists() and path.samefile(but)):
            continue
        name = called(path)
        try:
            kind = kind_of(path)
            # A sound may have a picture track, as one that was taken from a video with it.
            kinds["sound" if kind == "video" and name == "sound" else kind].append(path)
        except BadSampleError as error:
            if name is None:
                unknown[path] = f"it {error.reason}"
            else:
                kinds["picture" if name == "picture" else "video"].append(path)
    return kinds, unknown


def numbered_clip(folder: Path, images: list[Path], sound: Path, wanted: Wanted) -> Clip:
    """Each frame at its own time; ``0.png`` beside ``0.jpg`` is a label, not a frame."""
    rate = wanted.picture_rate
    frames_of = {path.stem: path for path in sorted(images, key=lambda p: p.suffix != ".png")}
    by_number = _numbered(folder, frames_of, counts_seconds=rate == 1)
    most = wanted.most_pixels
    base = pair_clip(read_image(next(iter(by_number.values())), most), sound, wanted.track)
    if (first := min(by_number) / rate) >= base.duration:
        raise BadSampleError(
            folder,
            f"its first picture is number {min(by_number)}, of second {first:g}, and its sound "
            f"lasts {base.duration:.1f} s",
            "Number the pictures from 0, or give --picture-rate, how many there are in a second",
        )
    duration = (max(by_number) + 1) / rate
    _compare(folder, len(by_number), duration, base.duration, rate)

    def frames(start: float, end: float | None) -> Iterator[Frame]:
        for number, path in by_number.items():
            shown = number / rate
            if shown >= start and (end is None or shown < end):
                heard = shown + _AVSBENCH_CENTRE / rate
                yield Frame(heard, read_image(path, most), shown_from=shown)

    return replace(
        base,
        name=folder.resolve().name,  # of `..` it is the folder's own
        num_frames=len(by_number),
        rate=Fraction(rate).limit_denominator(1001),
        frames=frames,
        duration=max(base.duration, duration),
        is_video=len(by_number) > 1,
        files=(*by_number.values(), sound),
    )


def _compare(folder: Path, count: int, seen: float, heard: float, rate: float) -> None:
    """Tell where pictures and sound are not of one length; refuse a rate that can't be meant."""
    if count / rate >= _MOST_PER_SECOND * heard:
        raise BadSampleError(
            folder,
            f"holds {count} numbered pictures, which at {rate:g} a second last {count / rate:.1f} "
            f"s, and a sound of {heard:.1f} s",
            f"Say how many there are in a second, here perhaps --picture-rate {count / heard:.4g}",
        )
    if abs(seen - heard) > _TOLERANCE:
        warnings.warn(
            f"{folder}: its pictures last {seen:.1f} s (at {rate:g} a second), its sound "
            f"{heard:.1f} s; --picture-rate says how many pictures there are in a second",
            stacklevel=3,
        )


def _numbered(
    folder: Path, frames_of: Mapping[str, Path], *, counts_seconds: bool
) -> dict[int, Path]:
    """Frames by their number from 0, rising.

    Where numbers are seconds, ``0.jpg`` shows second 0 (AVSBench-semantic), and so does
    ``NAME_1.png`` (S4 and MS3), unless the folder has a frame 0. At other rates, they are counted
    from 0 or from 1, as the first one says.
    """
    numbers = {stem: _NUMBER.search(stem) for stem in frames_of}
    numbered = [(int(found[0]), frames_of[stem]) for stem, found in numbers.items() if found]
    by_number = dict(sorted(numbered))
    if len(by_number) < len(frames_of):
        raise BadSampleError(
            folder,
            "holds one sound and images that are not numbered, each by a number of its own",
            "Name them by the second that each shows: 0.jpg, 1.jpg, ...",
        )
    seconds = counts_seconds and any(stem.isdecimal() for stem in frames_of)
    first = 0 if 0 in by_number or seconds else 1
    return {number - first: path for number, path in by_number.items()}


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts 2.jpg before 10.jpg."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
