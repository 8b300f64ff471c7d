"""Files of a set out of a user's, each whole or not there, and none made twice."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from ...constants import SAMPLE_RATE
from ...errors import BadSampleError
from ...files import whole_file
from ...media.sound_io import load_waveform
from ..composed.index import Item
from ..picture_writing import write_picture
from ..threads import results_of
from .candidate import Candidate, LeftOut, Unusable
from .pictures import fit_cutout, fit_instances, fit_photo, read_picture
from .recordings import loudest_part

#: Suffix of sounds -> the subtype they are written in.
SOUND_FORMATS = {"flac": "PCM_16", "ogg": "VORBIS"}
MIN_SECONDS = 0.2
#: Largest sample of a sound that counts as silent: three steps of 16 bits.
SILENCE = 1e-4
_JPEG_QUALITY = 92
_LONGEST_NAME = 120  # bytes of a source's name that are kept, its end: file systems take 255 in all


@dataclass(frozen=True)
class Form:
    """How files of the set are.

    Attributes:
        max_side: Longest side of a photograph and of a cut-out, px.
        min_object: Smallest largest object of a photograph, root of its area, px.
        seconds: Longest recording.
        sound_format: One of ``SOUND_FORMATS``.
    """

    max_side: int = 224
    min_object: int = 32
    seconds: float = 3.0
    sound_format: str = "flac"


@dataclass(frozen=True)
class Written:
    """A candidate that is in the set.

    Attributes:
        candidate: What it was made from.
        file: Its file, named from the set's folder.
        mask: Its mask, named so; empty for a cut-out and for a sound.
    """

    candidate: Candidate
    file: str
    mask: str = ""

    def item(self, root: Path, split: str) -> Item:
        """Its entry in the index of the set in ``root``."""
        return Item(
            kind=self.candidate.kind,
            class_name=self.candidate.class_name,
            split=split,
            file=str(root / self.file),
            mask=str(root / self.mask) if self.mask else None,
            source=self.candidate.source,
            licence=self.candidate.licence,
        )


def write_all(
    candidates: Sequence[Candidate], out: Path, form: Form, workers: int
) -> tuple[list[Written], list[LeftOut]]:
    """Write what isn't written yet, with a bar of progress; and what can't be used.

    What is newer than all it is made from is left as it is.
    """
    # What shares a picture is one job: it is decoded once, and no two threads write one file.
    jobs: dict[tuple[str, str, str], list[Candidate]] = defaultdict(list)
    for one in candidates:
        jobs[one.kind, one.source, one.name].append(one)

    def attempt(job: list[Candidate]) -> list[Written | LeftOut]:
        picture = lru_cache(1)(read_picture)
        done: list[Written | LeftOut] = []
        for candidate in job:
            try:
                done.append(_write(candidate, out, form, picture))
            except Unusable as error:
                path, name = candidate.path, candidate.class_name
                done.append(LeftOut(path, name, error.reason, error.detail))
        return done

    with results_of(attempt, [*jobs.values()], workers=workers, title="Writing") as made:
        results = [one for done in made for one in done]
    return (
        [one for one in results if isinstance(one, Written)],
        [one for one in results if isinstance(one, LeftOut)],
    )


def file_name(candidate: Candidate) -> str:
    """Name of a candidate's files, without suffix: the same whatever else is in the set."""
    name = candidate.name
    readable = re.sub(r"[^\w-]+", "-", str(Path(name).with_suffix(""))).strip("-")
    end = readable.encode()[-_LONGEST_NAME:].decode(errors="ignore")
    # A file's name may hold bytes that are no UTF-8.
    return f"{end}-{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"


def source_folder(source: str) -> str:
    """Name of the folder of a source's files."""
    return re.sub(r"[^\w-]+", "-", source)


def _write(
    candidate: Candidate, out: Path, form: Form, picture: Callable[[Path], NDArray[np.uint8]]
) -> Written:
    name = file_name(candidate)
    folder = source_folder(candidate.source)
    if candidate.kind == "sound":
        written = Written(candidate, f"sounds/{folder}/{name}.{form.sound_format}")
        if not _is_done(written, out):
            _write_sound(candidate.path, out / written.file, form)
    elif candidate.instances is None:
        written = Written(candidate, f"photos/{folder}/{name}.png")
        if not _is_done(written, out):
            _write_cutout(picture(candidate.path), out / written.file, form)
    else:
        stem = f"photos/{folder}/{name}"
        written = Written(candidate, f"{stem}.jpg", f"{stem}.{candidate.class_name}.png")
        if not _is_done(written, out):
            image = picture(candidate.path)[..., :3]
            numbered = candidate.instances(*image.shape[:2])
            _write_photo(image, numbered, out / written.file, out / written.mask, form)
    return written


def _is_done(written: Written, out: Path) -> bool:
    made = [out / name for name in (written.file, written.mask) if name]
    sources = [written.candidate.path, *written.candidate.made_from]
    try:
        newest = max(path.stat().st_mtime for path in sources)
        return all(path.stat().st_mtime >= newest for path in made)
    except FileNotFoundError:
        return False


def _write_photo(
    image: NDArray[np.uint8], numbered: NDArray[np.uint8], file: Path, mask: Path, form: Form
) -> None:
    numbered = fit_instances(numbered, form.max_side)
    _check_size(int(np.bincount(numbered.ravel(), minlength=2)[1:].max()), form)
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    write_picture(file, fit_photo(image, form.max_side), quality)
    write_picture(mask, numbered)


def _write_cutout(image: NDArray[np.uint8], file: Path, form: Form) -> None:
    if image.shape[2] != 4 or image[..., 3].min() > 0:
        raise Unusable("no_mask")
    if not (image[..., 3] > 127).any():
        raise Unusable("small_object", "all of it is transparent")
    cutout = fit_cutout(image, form.max_side)
    _check_size(np.count_nonzero(cutout[..., 3] > 127), form)
    write_picture(file, cutout)


def _check_size(area: int, form: Form) -> None:
    if (side := np.sqrt(area)) < form.min_object:
        raise Unusable("small_object", f"{side:.1f} px, {form.min_object} are wanted")


def _write_sound(path: Path, file: Path, form: Form) -> None:
    if not path.is_file():
        raise Unusable("missing")
    try:
        sound = load_waveform(path)[0]
    except BadSampleError as error:
        raise Unusable("unreadable", error.reason) from error
    if (peak := float(np.abs(sound).max())) <= SILENCE:
        raise Unusable("silent", f"peak {peak:.0e}")
    sound = loudest_part(sound, round(form.seconds * SAMPLE_RATE))
    if len(sound) < MIN_SECONDS * SAMPLE_RATE:
        detail = f"{len(sound) / SAMPLE_RATE:.2f} s, {MIN_SECONDS} s are needed"
        raise Unusable("short", detail)
    with whole_file(file) as part:
        subtype = SOUND_FORMATS[form.sound_format]
        soundfile.write(part, sound, SAMPLE_RATE, subtype=subtype)
