"""What can be wrong with a clip, and finding it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ...constants import SAMPLE_RATE
from ...errors import BadSampleError
from ...media.sound_io import load_waveform
from ..avs_dataset import SPLITS
from ..benchmarks.clip_index import Clip, Frame, Sound
from ..mask_decoding import DEEP_MODES, UNREADABLE, decode_mask, frame_mode, read_labels
from .benchmarks import Benchmark, MaskRules

#: Kinds of defects. The second word says what a repaired index leaves out for it: the clip, the
#: frame, the row, or nothing (the item can be loaded, but its score may mean little).
KINDS = {
    "no_rows": "nothing",
    "bad_row": "row",
    "duplicate": "row",
    "unknown_class": "nothing",
    "missing_frame": "frame",
    "unreadable_frame": "frame",
    "missing_mask": "frame",
    "unreadable_mask": "frame",
    "unknown_label": "frame",
    "wrong_size": "frame",
    "missing_audio": "clip",
    "unreadable_audio": "clip",
    "silent_audio": "nothing",
    "short_audio": "nothing",
}
#: Largest sample of a sound that counts as silent: three steps of 16 bits.
SILENCE = 1e-4
#: Windows may reach this far over the end of a sound, in seconds: one frame of a video.
TOLERANCE = 0.04


@dataclass(frozen=True)
class Defect:
    """Something wrong with a row (then ``path`` is empty) or a file.

    Attributes:
        line: Row of the index; of a file's clip the first one.
        frame: The frame that can't be used; None: what is wrong concerns the whole clip.
    """

    kind: str
    clip_id: str
    line: int
    path: str
    detail: str
    frame: int | None = None


def check_rows(clips: Sequence[Clip], benchmark: Benchmark) -> Iterator[Defect]:
    """Defects of the index itself."""
    if not clips:
        yield Defect("no_rows", "", 1, "", "the index lists no clip, or none of this benchmark")
    seen: dict[tuple[str, ...], int] = {}
    for clip in clips:
        for row in clip.rows:
            key = tuple(row.values[column] for column in benchmark.key)
            if key in seen:
                detail = f"{' '.join(key)} as in line {seen[key]}"
                yield Defect("duplicate", clip.clip_id, row.line, "", detail)
            seen.setdefault(key, row.line)
        fault = clip.fault
        if not fault and (clip.split not in SPLITS or not clip.frames):
            fault = f"split {clip.split!r}, subset {clip.subset!r}"
        if fault:
            for row in clip.rows:
                yield Defect("bad_row", clip.clip_id, row.line, "", fault)
        line = clip.rows[0].line
        if benchmark.names and (unknown := sorted(set(clip.classes) - benchmark.names)):
            detail = ", ".join(name or "an empty name" for name in unknown)
            yield Defect("unknown_class", clip.clip_id, line, "", detail)
        if benchmark.names and not clip.classes and not fault:
            yield Defect("unknown_class", clip.clip_id, line, "", "nothing is named that sounds")


def check_media(clip: Clip, rules: MaskRules) -> list[Defect]:
    """Defects of the files of a clip. All files are decoded."""
    found = [defect for sound in clip.sounds for defect in _check_sound(clip, sound)]
    for frame in clip.frames:
        found += _check_frame(clip, frame, rules)
    return found


def _check_sound(clip: Clip, sound: Sound) -> Iterator[Defect]:
    line = clip.rows[0].line
    for path in filter(None, (sound.path, sound.stereo_path)):
        if not Path(path).is_file():
            yield Defect("missing_audio", clip.clip_id, line, path, "")
            continue
        try:
            waveform = load_waveform(path)
        except BadSampleError as error:
            yield Defect("unreadable_audio", clip.clip_id, line, path, error.reason)
            continue
        if (peak := float(np.abs(waveform).max())) <= SILENCE:
            yield Defect("silent_audio", clip.clip_id, line, path, f"peak {peak:.0e}")
        seconds = waveform.shape[1] / SAMPLE_RATE
        if seconds < clip.seconds - TOLERANCE:
            detail = f"{seconds:.2f} s, {clip.seconds:.2f} s are heard"
            yield Defect("short_audio", clip.clip_id, line, path, detail)


def _check_frame(clip: Clip, frame: Frame, rules: MaskRules) -> Iterator[Defect]:
    line, size = clip.rows[0].line, None
    if not Path(frame.img_path).is_file():
        yield Defect("missing_frame", clip.clip_id, line, frame.img_path, "", frame.index)
    else:
        try:
            size = _decoded_size(frame.img_path)
        except UNREADABLE as error:
            detail = str(error)
            yield Defect(
                "unreadable_frame", clip.clip_id, line, frame.img_path, detail, frame.index
            )
    path = frame.seg_map_path
    if path is None:
        return
    if not Path(path).is_file():
        yield Defect("missing_mask", clip.clip_id, line, path, "", frame.index)
        return
    try:
        values = read_labels(path, rules.encoding, rules.palette)
    except BadSampleError as error:
        yield Defect("unreadable_mask", clip.clip_id, line, path, error.reason, frame.index)
        return
    height, width = values.shape[:2]
    if size is not None and size != (width, height):
        detail = f"{width}x{height} px, its frame is {size[0]}x{size[1]} px"
        yield Defect("wrong_size", clip.clip_id, line, path, detail, frame.index)
    try:
        decode_mask(
            values,
            path,
            encoding=rules.encoding,
            num_classes=rules.num_classes,
            palette=rules.palette,
            label_map=rules.label_map,
        )
    except BadSampleError as error:
        yield Defect("unknown_label", clip.clip_id, line, path, error.reason, frame.index)


def _decoded_size(path: str) -> tuple[int, int]:
    """Width and height of a picture, all of which is decoded (a JPEG at an eighth, for speed)."""
    if (mode := frame_mode(path)) in DEEP_MODES:
        raise ValueError(f"it is a picture of mode {mode}, not of 8 bits a channel")
    with Image.open(path) as image:
        size = image.size
        image.draft("RGB", (max(1, size[0] // 8), max(1, size[1] // 8)))
        image.load()
    return size
