"""``prepare_data.py check composed``: find what is wrong with a set of composed scenes."""

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ...errors import BadSampleError
from ...files import write_whole
from ..avs_dataset import SPLITS
from ..composed.index import Item, read_index, write_index
from ..composed.library import load_cutout, load_photograph, load_recording
from ..composing.counts import count_classes, shortages
from ..composing.parting import near_duplicates
from ..composing.showing import show_counts, show_kinds
from ..composing.splitting import Member, draw_splits, group_numbers
from ..threads import results_of

#: What a repaired index is without.
KINDS = {
    "bad_photo": "the photograph or its mask can't be used",
    "bad_sound": "the recording can't be used",
    "duplicate": "a line of the index says what one before it says",
    "shared": "one photograph or recording, or a near-duplicate, is in several splits",
}


@dataclass(frozen=True)
class Fault:
    """Something wrong with the item of a line of the index."""

    kind: str
    line: int
    path: str
    detail: str


def check_set(root: Path, workers: int) -> tuple[list[Item], list[Fault]]:
    """All items of a set, and what is wrong with them: each file is decoded, all are compared."""
    items = read_index(root, "Name the folder of the set by --root")
    with results_of(_load, items, workers=workers, title="Checking") as found:
        details = [*found]
    faults = [
        Fault(f"bad_{item.kind}", line, error.path, error.reason)
        for line, (item, error) in enumerate(zip(items, details, strict=True), start=2)
        if error is not None
    ]
    faults += _duplicates(items)
    bad = {fault.line for fault in faults}
    for kind in ("photo", "sound"):
        lines = [n for n, one in enumerate(items, start=2) if one.kind == kind and n not in bad]
        faults += _shared(kind, items, lines)
    return items, faults


def _load(item: Item) -> BadSampleError | None:
    # Without the cache: each file is read once, and a photograph may be large.
    try:
        if item.kind == "sound":
            load_recording.__wrapped__(item.file)
        elif item.mask is None:
            load_cutout.__wrapped__(item.file, None)
        else:
            load_photograph.__wrapped__(item.file, item.mask)
    except BadSampleError as error:
        return error
    return None


def _duplicates(items: Sequence[Item]) -> Iterator[Fault]:
    first: dict[tuple[str, str, str], int] = {}
    for line, item in enumerate(items, start=2):
        key = (item.kind, item.class_name, item.file)
        if key in first:
            yield Fault("duplicate", line, item.file, f"as in line {first[key]}")
        first.setdefault(key, line)


def _shared(kind: str, items: Sequence[Item], lines: Sequence[int]) -> Iterator[Fault]:
    """Those whose near-duplicates count more, in the test split or the validation split."""
    chosen = [items[line - 2] for line in lines]
    files = [one.file for one in chosen]
    pairs = near_duplicates(kind, [Path(file) for file in files])
    groups = group_numbers(files, pairs)
    members = [Member(one.class_name, one.file, given=one.split) for one in chosen]
    splits = draw_splits(members, groups, dict.fromkeys(SPLITS, 1 / 3))
    last = {g: (n, one) for g, n, one, s in zip(groups, lines, chosen, splits, strict=True) if s}
    for line, item, group, split in zip(lines, chosen, groups, splits, strict=True):
        if not split:
            other_line, other = last[group]
            detail = f"{item.split}; line {other_line}, {other.file}, is in {other.split}"
            yield Fault("shared", line, item.file, detail)


def run(args: argparse.Namespace) -> int:
    """Check, print and write as ``check`` does; 0: clean, 1: defects."""
    items, faults = check_set(args.root, args.workers)
    counts = count_classes(items)
    show_counts(args.root, counts, shortages(counts, SPLITS))
    if faults:
        texts = [(one.kind, f"line {one.line}: {one.path}: {one.detail}") for one in faults]
        show_kinds("Defects", KINDS, texts)
    else:
        print("No defects.")
    if args.json:
        content = dict(
            name=args.name,
            root=str(args.root),
            counts={name: asdict(count) for name, count in counts.items()},
            by_kind=dict(Counter(fault.kind for fault in faults)),
            defects=[asdict(fault) for fault in faults],
        )
        write_whole(args.json, json.dumps(content, indent=1))
    if args.fix_index:
        bad = {fault.line for fault in faults}
        kept = [one for line, one in enumerate(items, start=2) if line not in bad]
        write_index(args.root, kept, args.fix_index)
        print(f"{len(kept)} of {len(items)} rows written to {args.fix_index}")
    return 1 if faults else 0
