"""``prepare_data.py check``: find what is wrong with a downloaded benchmark."""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from ...files import check_file, write_whole
from ..avs_dataset import SPLITS
from ..benchmarks.avsbench import LABEL_DIRS
from ..benchmarks.class_names import check_label2idx
from ..benchmarks.clip_index import SKIP_COLUMN, Clip, Table, read_table, write_table
from ..threads import results_of
from . import check_composed
from .benchmarks import NAMES, Benchmark, benchmark
from .defects import KINDS, Defect, check_media, check_rows

#: Name of sets for ``ComposedDataset``, of whatever folder.
COMPOSED = "composed"
LABELS = "label2idx.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument("name", choices=(*NAMES, COMPOSED))
    parser.add_argument("--root", type=Path, required=True, help="the data set's data_root")
    parser.add_argument("--index", type=Path, help="index file, if not the published one")
    parser.add_argument("--labels", choices=LABEL_DIRS, default="labels_semantic", help="of avss")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the whole report")
    parser.add_argument(
        "--fix-index",
        type=Path,
        metavar="OUT",
        help="write an index without what can't be used, for ann_file",
    )
    parser.add_argument("--workers", type=int, default=min(32, 2 * (os.cpu_count() or 1)))


def run(args: argparse.Namespace) -> int:
    """Check, print and write; 0: clean, 1: defects, 2: there is nothing to check."""
    own = "index.csv" if args.name == COMPOSED else benchmark(args.name).index
    index = args.index or args.root / own
    problem = _problem(args, index)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    if args.name == COMPOSED:
        return check_composed.run(args)
    spec = benchmark(args.name, index, args.labels)
    clips = spec.read(args.root, index)
    if args.name == "avss" and (args.root / LABELS).is_file():
        check_label2idx(args.root / LABELS)
    clips, defects = find_defects(clips, spec, args)
    counts = count(clips, defects, spec)
    show(args.name, counts, defects)
    if args.json:
        report = dict(
            name=args.name,
            root=str(args.root),
            index=str(index),
            counts=counts,
            by_kind=dict(Counter(defect.kind for defect in defects)),
            defects=[asdict(defect) for defect in defects],
        )
        write_whole(args.json, json.dumps(report, indent=1))
    if args.fix_index:
        table = read_table(index, spec.columns)
        kept = repaired(table, clips, defects)
        write_table(args.fix_index, *kept)
        print(f"{len(kept[1])} of {len(table.rows)} rows written to {args.fix_index}")
    return 1 if defects else 0


def _problem(args: argparse.Namespace, index: Path) -> str | None:
    """Why nothing can be checked, told before the work of an hour; None where it can."""
    if args.name == COMPOSED and args.index:
        return f"--index is not for {COMPOSED}, whose index is index.csv"
    if args.workers < 1:
        return f"--workers {args.workers}: give at least 1"
    if not index.is_file():
        return f"{index} is not there; data/README.md has the tree expected"
    read = {"the index that is read": index, "the list of classes": args.root / LABELS}
    return _output_problem({"--json": args.json, "--fix-index": args.fix_index}, read)


def find_defects(
    clips: list[Clip], spec: Benchmark, args: argparse.Namespace
) -> tuple[list[Clip], list[Defect]]:
    """The clips whose rows say something, and what is wrong with rows and files.

    Args:
        clips: Of the index.
        spec: What they should be.
        args: Of the command line: ``name``, ``root`` and ``workers``.
    """
    defects = list(check_rows(clips, spec))
    useless = {defect.line for defect in defects if defect.kind in ("bad_row", "duplicate")}
    clips = [clip for clip in clips if clip.rows[0].line not in useless]
    with results_of(
        lambda clip: check_media(clip, spec.masks),
        clips,
        workers=args.workers,
        title=f"Checking {args.name}",
    ) as results:
        for found in results:
            defects += [replace(d, path=os.path.relpath(d.path, args.root)) for d in found]
    return clips, defects


def _output_problem(outputs: dict[str, Path | None], taken: dict[str, Path]) -> str | None:
    """Why a report can't be written; None where they all can.

    Args:
        outputs: Option -> the file that it names.
        taken: What must not be written over -> its file, by whatever name.
    """
    for option, out in outputs.items():
        if out is None:
            continue
        for owner, file in taken.items():
            if out.resolve() == file.resolve() or (
                out.exists() and file.exists() and out.samefile(file)
            ):
                return f"{option} {out} is {owner}; name another file"
        try:
            check_file(out)
        except OSError as error:
            return str(error)
        taken = {**taken, f"the file of {option}": out}
    return None


def count(
    clips: Sequence[Clip], defects: Sequence[Defect], spec: Benchmark
) -> dict[str, dict[str, Any]]:
    """Clips, frames, masks and usable masks of each split, and of each source of the test split."""
    lost = _lost(defects)
    groups = {split: [clip for clip in clips if clip.split == split] for split in SPLITS}
    published = dict(spec.clips)
    for source, number in spec.sources.items():
        name = f"test, {source}"
        groups[name] = [clip for clip in groups["test"] if clip.source == source]
        published[name] = number
    return {
        name: dict(
            clips=len(group),
            published=published.get(name, 0),
            frames=sum(len(clip.frames) for clip in group),
            labelled=sum(len(_labelled(clip)) for clip in group),
            usable=sum(
                len(_labelled(clip) - lost[clip.rows[0].line])
                for clip in group
                if None not in lost[clip.rows[0].line]
            ),
        )
        for name, group in groups.items()
        if group or published.get(name)
    }


def _labelled(clip: Clip) -> set[int | None]:
    return {frame.index for frame in clip.frames if frame.seg_map_path is not None}


def _lost(defects: Sequence[Defect]) -> dict[int, set[int | None]]:
    """Frames that can't be used, by the line of the clip; None stands for all of them."""
    lost: dict[int, set[int | None]] = defaultdict(set)
    for defect in defects:
        if KINDS[defect.kind] in ("clip", "frame"):
            lost[defect.line].add(defect.frame)
    return lost


def repaired(
    table: Table, clips: Sequence[Clip], defects: Sequence[Defect]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of an index that leaves out what can't be used.

    A clip goes as a whole if a sound is bad or no labelled frame is left; of others only the bad
    frames go, which the column ``skip_frames`` names.
    """
    lost = _lost(defects)
    gone = {defect.line for defect in defects if KINDS[defect.kind] == "row"}
    skipped: dict[int, set[int]] = {}
    for clip in clips:
        lines = {row.line for row in clip.rows}
        bad = lost[clip.rows[0].line]
        if None in bad or _labelled(clip) <= bad:
            gone |= lines
        skipped |= dict.fromkeys(lines, {frame for frame in bad if frame is not None})

    kept = [row for row in table.rows if row.line not in gone]
    header = tuple(name for name in table.header if name != SKIP_COLUMN)
    skip_at = table.header.index(SKIP_COLUMN) if SKIP_COLUMN in table.header else len(table.header)
    rows = [row.cells[:skip_at] + row.cells[skip_at + 1 :] for row in kept]
    column = [
        " ".join(map(str, sorted(row.skipped_frames | skipped.get(row.line, set()))))
        for row in kept
    ]
    if not any(column):
        return header, rows
    return (*header, SKIP_COLUMN), [(*row, cell) for row, cell in zip(rows, column, strict=True)]


def show(name: str, counts: dict[str, dict[str, Any]], defects: Sequence[Defect]) -> None:
    """Print both tables."""
    console = Console()
    table = RichTable("split", "clips", "published", "frames", "labelled", "usable", title=name)
    for split, numbers in counts.items():
        differs = "" if numbers["clips"] == numbers["published"] else " (differs)"
        cells = [str(numbers[key]) for key in ("frames", "labelled", "usable")]
        table.add_row(split, str(numbers["clips"]), f"{numbers['published']}{differs}", *cells)
    console.print(table)
    if not defects:
        console.print("No defects.")
        return
    table = RichTable("defect", "number", "left out", title="Defects")
    table.add_column("first one", overflow="fold")  # a path is of use as a whole only
    for kind, left_out in KINDS.items():
        if of_kind := [defect for defect in defects if defect.kind == kind]:
            first = of_kind[0]
            where = first.path or f"line {first.line}"
            text = f"{where}: {first.detail}" if first.detail else where
            table.add_row(kind, str(len(of_kind)), left_out, escape(text))
    console.print(table)
