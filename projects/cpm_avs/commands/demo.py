"""Segment what sounds in your own video, image with a sound, or folder of these."""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..files import check_folder
from ..inference import AVSInferencer
from ..inference.clip import Clip
from ..inference.model_loading import load_config
from ..inference.output_names import clean_name
from ..inference.predictor import PRECISIONS
from ..inference.results import ClipResult, known_objects
from ..inference.sources import OnError, open_sources
from ..launch import (
    add_device_option,
    add_model_options,
    add_speed_options,
    built_from,
    output_file,
    output_folder,
    read_config,
)


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Example: cpm-avs demo dog.mp4 --out dog_segmented.mp4",
    )
    parser.add_argument("source", type=Path, help="video, image (with --audio), or folder")
    add_model_options(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out", type=output_file(), help="file for the overlay: .mp4, or .png of an image"
    )
    where.add_argument(
        "--out-dir",
        type=output_folder,
        help="folder for masks, overlay, report and figure of each clip",
    )
    parser.add_argument("--fps", type=float, help="frames per second to segment (default: all)")
    parser.add_argument("--start", type=float, default=0.0, help="first second")
    parser.add_argument("--end", type=float, help="last second")
    parser.add_argument(
        "--audio", type=Path, help="sound for an image, or instead of a video's own"
    )
    parser.add_argument(
        "--audio-track", type=int, metavar="N", help="sound track, from 1 (default: the file's own)"
    )
    parser.add_argument(
        "--picture-rate",
        type=float,
        default=1.0,
        metavar="R",
        help="numbered pictures of a folder in a second (default: 1, as in AVSBench)",
    )
    parser.add_argument(
        "--strip", action="store_true", help="show the spectrogram under the frames"
    )
    parser.add_argument("--silent-ok", action="store_true", help="go on without a sound track")
    add_device_option(parser)
    add_speed_options(parser, PRECISIONS)
    parsed = parser.parse_args(args)
    if parsed.out is None and parsed.out_dir is None:
        parsed.out_dir = Path("work_dirs/demo")
        check_folder(parsed.out_dir)
    return parsed


def segment(args: argparse.Namespace, console: Console, on_error: OnError) -> list[ClipResult]:
    """Run the inferencer behind a progress bar."""
    clips = open_clips(args, console, on_error)
    with console.status("loading the model"):
        config = read_config(args.config, read=load_config)
        with built_from(config):
            inferencer = AVSInferencer(
                config,
                args.checkpoint,
                args.device,
                batch_size=args.batch_size,
                precision=args.precision,
                recorded=args.record,
            )
    with progress_bar(console, args.source.name) as show:
        results = inferencer(
            [*clips],
            out_dir=args.out_dir,
            overlay=args.out,
            strip=args.strip,
            fps=args.fps,
            start=args.start,
            end=args.end,
            keep_frames=False,
            progress=show,
            on_error=on_error,
        )
    results = results if isinstance(results, list) else [results]
    known = known_objects(inferencer.classes)
    if known and not all(result.segments for result in results):
        note(console, f"'no object sounds' is said of those that the model knows: {known}")
    return results


def open_clips(args: argparse.Namespace, console: Console, on_error: OnError) -> Sequence[Clip]:
    """The clips of the source; warnings become notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: note(console, str(message))
        clips = open_sources(
            args.source,
            audio=args.audio,
            audio_track=args.audio_track,
            silent_ok=args.silent_ok,
            picture_rate=args.picture_rate,
            on_error=on_error,
        )
    if args.out is not None and len(clips) > 1:
        raise ValueError(f"{args.source} holds {len(clips)} clips; give --out-dir instead of --out")
    return clips


@contextmanager
def progress_bar(console: Console, title: str) -> Iterator[Callable[[Clip, int, int], None]]:
    """A bar that begins anew with each clip, to be called after each frame."""
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total} frames"),
        TextColumn("{task.fields[speed]:.1f} frames/s"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as shown:
        task = shown.add_task(escape(title), total=None, speed=0.0)
        began = ended = time.perf_counter()

        def show(clip: Clip, done: int, total: int) -> None:
            nonlocal began, ended
            if done == 1:
                began = ended
                shown.reset(task, total=total, description=escape(clip.name))
            ended = time.perf_counter()
            shown.update(task, completed=done, total=total, speed=done / (ended - began))

        yield show


def note(console: Console, text: str) -> None:
    """Tell what is worth knowing and no error."""
    console.print(f"[bold yellow]note:[/] {escape(text)}", soft_wrap=True)


def main(args: list[str] | None = None) -> int:
    """Segment, then say what sounds when and where the files are; 1 if a clip couldn't be used."""
    console = Console(stderr=True, highlight=False)
    failed = False

    def report(error: Exception) -> None:
        nonlocal failed
        failed = True
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)

    try:
        results = segment(parse_args(args), console, report)
    except (ValueError, OSError) as error:  # what a user can put right
        report(error)
        return 1
    for result in results:
        print(f"{clean_name(result.name)}: {result.summary()}")
        for kind, path in result.files.items():
            print(f"  {kind}: {path}")
    return int(failed)
