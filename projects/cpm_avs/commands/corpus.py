"""Segment what sounds in all videos of a manifest, on all GPUs or cores, into Parquet files.

Example: cpm-avs corpus videos.txt --out results
"""

import argparse
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from ..inference.model_loading import find_checkpoint, load_config
from ..inference.predictor import PRECISIONS
from ..launch import add_model_options, add_speed_options, at_least, output_folder, read_config

if TYPE_CHECKING:  # the help is there without the packages that only a corpus needs
    from ..corpus.crews import Crew
    from ..corpus.worker import Job


def parse_args(args: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], epilog=__doc__.splitlines()[-1]
    )
    parser.add_argument(
        "manifest",
        type=Path,
        help=".txt (a path a line), .csv, .tsv or .parquet (column video, path or file), or folder",
    )
    parser.add_argument(
        "--out", type=output_folder, required=True, help="folder for the results, or to go on in"
    )
    add_model_options(parser)
    parser.add_argument(
        "--fps",
        type=_rate,
        default=4.0,
        help="frames per second to segment, or 'all' (default: 4)",
    )
    parser.add_argument(
        "--piece",
        type=at_least(0.1),
        default=60.0,
        metavar="SECONDS",
        help="longer videos are cut into pieces of this length (default: 60)",
    )
    parser.add_argument("--silent-ok", action="store_true", help="take videos without sound, too")
    parser.add_argument(
        "--workers",
        type=at_least(0),
        metavar="N",
        help="default: one a GPU, or a core where there is no GPU; 0: this process, without Ray",
    )
    parser.add_argument("--address", help="of a running Ray cluster: auto, or HOST:6379")
    add_speed_options(parser, PRECISIONS)
    parser.add_argument(
        "--retry-failed", action="store_true", help="try videos with an error once more"
    )
    parser.add_argument(
        "--save-every",
        type=at_least(0.0),
        default=30.0,
        metavar="SECONDS",
        help="what a kill of this process costs at most (default: 30)",
    )
    return parser.parse_args(args)


def main(args: Sequence[str] | None = None) -> int:
    """Do what is left of the corpus; 1 if a video could not be used."""
    options = parse_args(args)
    from ..corpus.identity import Identity
    from ..corpus.manifest import read_manifest
    from ..corpus.progress import Screen, Tally
    from ..corpus.running import take_stock, work
    from ..corpus.shards import Shards

    console = Console(stderr=True, highlight=False)
    job = job_of(options)
    identity = Identity.of(read_config(job.config, read=load_config), job)
    identity.check(options.out)
    with console.status("looking at the videos"):
        videos = read_manifest(options.manifest)
    tally = Tally(len(videos))
    ledger, left = take_stock(
        videos,
        Shards(options.out),
        tally,
        every=options.save_every,
        retry_failed=options.retry_failed,
    )
    if left:
        with crew_of(options, job) as crew:
            # A scheduler's end is the same as Ctrl-C: what is found goes to the disk. Ray, which
            # would break off, has just put its own answer there.
            signal.signal(signal.SIGTERM, signal.default_int_handler)
            with console.status(f"loading the model, workers: {crew.size}"):
                identity.note(options.out, crew.classes())
            tally.start()
            with Screen(console, tally) as screen:
                work(left, ledger, crew, show=screen.show)
    print(tally.summary())
    return int(tally.failed > 0)


def job_of(options: argparse.Namespace) -> "Job":
    """What workers do, with files named so that those on other machines find them, too."""
    from ..corpus.worker import Job

    config = options.config
    if config is not None and Path(config).is_file():
        config = str(Path(config).resolve())
    return Job(
        config=config,
        checkpoint=find_checkpoint(config, options.checkpoint).resolve(),
        fps=options.fps,
        piece=options.piece,
        silent_ok=options.silent_ok,
        batch_size=options.batch_size,
        precision=options.precision,
        recorded=options.record,
    )


@contextmanager
def crew_of(options: argparse.Namespace, job: "Job") -> Iterator["Crew"]:
    """Who does the work, which ends with it."""
    from ..corpus.cluster import cluster
    from ..corpus.crews import Alone

    if options.workers == 0:
        yield Alone(job)
        return
    with cluster(options.address, options.workers) as (size, gpus):
        from ..corpus.ray_crew import RayCrew  # Ray is set up from here on only

        crew = RayCrew(job, size=size, gpus=gpus)
        try:
            yield crew
        finally:
            crew.close()


def _rate(text: str) -> float | None:
    return None if text == "all" else at_least(0.001)(text)
