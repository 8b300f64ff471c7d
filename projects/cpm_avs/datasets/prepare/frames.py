"""``prepare_data.py frames``: cut raw S4 and MS3 videos into frames and sounds.

Frames as the benchmark's own scripts take them: 16 evenly spaced samples a second, of which the
16th is kept, at 224x224. The sound is 16 kHz stereo, 16 bits, properly resampled.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from ...constants import SAMPLE_RATE
from ...files import check_folder, whole_file
from ...media.opening import open_media
from ...media.orientation import upright
from ..benchmarks.avsbench import NUM_FRAMES, read_ms3, read_s4
from ..picture_writing import write_picture
from ..threads import results_of
from .benchmarks import benchmark

SIZE = (224, 224)  # px
SAMPLES_PER_SECOND = 16
NUM_SECONDS = NUM_FRAMES["v1s"]
_OWN_DELAY = 0.05  # seconds


@dataclass(frozen=True)
class Job:
    """One video and the files that come out of it; ``fault`` says why none may."""

    video: Path
    images: dict[int, Path]  # by second
    sound: Path
    fault: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument("name", choices=("s4", "ms3"))
    parser.add_argument("--root", type=Path, required=True, help="Single-source or Multi-sources")
    parser.add_argument("--overwrite", action="store_true", help="also cut what is there already")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> int:
    """Cut all videos of the index; 0: all done, 1: some failed, 2: there is nothing to cut."""
    index = args.root / benchmark(args.name).index
    if not index.is_file() or args.workers < 1:
        reason = f"{index} is not there" if args.workers > 0 else "--workers must be at least 1"
        print(f"error: {reason}; data/README.md has the tree expected", file=sys.stderr)
        return 2
    check_folder(args.root)
    jobs = list(plan(args.name, args.root))
    if not args.overwrite:
        jobs = [
            job
            for job in jobs
            if job.fault or not all(p.is_file() for p in (*job.images.values(), job.sound))
        ]
    failures = []
    with results_of(_attempt, jobs, workers=args.workers, title="Cutting") as results:
        for job, error in zip(jobs, results, strict=True):
            if error:
                failures.append(f"{job.video}: {error}")
    print(f"{len(jobs) - len(failures)} of {len(jobs)} videos cut")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def plan(name: str, root: Path) -> Iterator[Job]:
    """Where the videos of the index lie and where their frames and sounds go."""
    read, data = (read_s4, root / "s4_data") if name == "s4" else (read_ms3, root / "ms3_data")
    for clip in read(root, root / benchmark(name).index):
        folder = Path(clip.split, *clip.classes) if name == "s4" else Path()
        yield Job(
            video=data / "raw_videos" / folder / f"{clip.clip_id}.mp4",
            images={frame.index: Path(frame.img_path) for frame in clip.frames},
            sound=Path(clip.sounds[0].path),
            fault=clip.fault,
        )


def _attempt(job: Job) -> str | None:
    """Cut a video; a fault of one must not stop the others."""
    if job.fault:
        return job.fault
    try:
        cut(job)
    except (OSError, ValueError, av.FFmpegError, soundfile.SoundFileError) as error:
        return str(error)
    return None


def cut(job: Job) -> None:
    """Write the frames and the sound of one video."""
    pictures, sound = read_video(job.video)
    for second, path in job.images.items():
        write_picture(path, np.asarray(cv2.resize(pictures[second], SIZE), np.uint8))
    with whole_file(job.sound) as part:
        soundfile.write(part, sound, SAMPLE_RATE, subtype="PCM_16")


def read_video(path: Path) -> tuple[list[NDArray[np.uint8]], NDArray[np.int16]]:
    """BGR frames, one a second, and the sound (L, 2) of a video."""
    with open_media(path) as container:
        if not container.streams.video or not container.streams.audio:
            raise ValueError("needs a picture and a sound track")
        stream = container.streams.video[0]
        if stream.average_rate is None:
            raise ValueError("the frame rate is not stated")
        wanted = frame_numbers(round(stream.average_rate), NUM_SECONDS)
        stream.thread_type = "AUTO"
        pictures: dict[int, NDArray[np.uint8]] = {}
        last = first_shown = None
        for number, frame in enumerate(container.decode(stream)):
            last = frame
            first_shown = frame.time if number == 0 else first_shown
            if number in wanted:
                pictures[number] = upright(frame)
            if number >= max(wanted):
                break
        if last is None:
            raise ValueError("the video has no frames")
        end = upright(last)  # stands in where the video is too short
        container.seek(0)
        resampler = av.AudioResampler(format="s16", layout="stereo", rate=SAMPLE_RATE)
        blocks, first_heard = [], None
        for block in container.decode(container.streams.audio[0]):
            first_heard = block.time if first_heard is None else first_heard
            blocks += [out.to_ndarray() for out in resampler.resample(block)]
        blocks += [out.to_ndarray() for out in resampler.resample(None)]
    if not blocks:
        raise ValueError("the sound track is empty")
    sound = np.concatenate(blocks, axis=1).astype(np.int16).reshape(-1, 2)  # interleaved
    late = (first_heard or 0.0) - (first_shown or 0.0)
    return [pictures.get(number, end) for number in wanted], in_step(sound, late)


def in_step(sound: NDArray[np.int16], late: float) -> NDArray[np.int16]:
    """Bring a sound (L, 2) that begins ``late`` seconds after the picture, or before it, in step.

    A few hundredths are the encoder's, and are left.
    """
    shift = round(late * SAMPLE_RATE)
    if abs(late) < _OWN_DELAY:
        return sound
    return np.pad(sound, ((shift, 0), (0, 0))) if shift > 0 else sound[-shift:]


def frame_numbers(frames_per_second: int, seconds: int) -> list[int]:
    """Numbers of the frames that stand for each second: the last of its 16 samples.

    >>> frame_numbers(30, 2)
    [28, 58]
    """
    last = (SAMPLES_PER_SECOND - 1) / SAMPLES_PER_SECOND
    return [int(second * frames_per_second + last * frames_per_second) for second in range(seconds)]
