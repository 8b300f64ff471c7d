"""``prepare_data.py compose``: a set of photographs and recordings for ``ComposedDataset``."""

import argparse
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...files import check_folder
from ..avs_dataset import SPLITS
from ..composed.index import Item, read_index
from ..composing.candidate import REASONS, Candidate, ClassNames, LeftOut
from ..composing.collecting import Source, collect, keep_at_most, without
from ..composing.counts import LABELLED, count_classes, shortages
from ..composing.data_card import Making
from ..composing.finishing import files_of, finish, remove_unlisted
from ..composing.own_folder import take_folder
from ..composing.parting import part
from ..composing.showing import show_counts, show_kinds
from ..composing.writing import MIN_SECONDS, SOUND_FORMATS, Form, file_name, write_all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the subcommand."""
    parser.add_argument(
        "--coco", nargs="+", action="append", default=[], metavar=("JSON", "IMAGES SPLIT"),
        help="photographs of a set in COCO's format: instances.json, the folder of its images "
        "and, to put all of them into one split, its name; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--photos", nargs="+", action="append", default=[], metavar=("FOLDER", "SPLIT"),
        help="a folder of pictures a class: NAME.jpg with its mask NAME.png or NAME_mask.png, or "
        "cut-outs, RGBA PNGs; or such folders in train, val and test; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--sounds", nargs="+", action="append", default=[], metavar=("FOLDER", "SPLIT"),
        help="ESC-50, FSD50K, or a folder of sounds a class, as above; repeatable",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the set")
    parser.add_argument(
        "--rename", nargs="+", action="extend", default=[], metavar="NAME=CLASS",
        help="classes under another name, such as chirping_birds=bird crow=bird",
    )  # fmt: skip
    parser.add_argument("--classes", nargs="+", metavar="CLASS", help="only these; default: all")
    parser.add_argument(
        "--exclude", type=Path, metavar="FILE",
        help="text with a name a line, as the contact sheets have them, of what to leave out",
    )  # fmt: skip
    parser.add_argument(
        "--max-per-class", type=int, metavar="N", help="photographs, and recordings, at most"
    )
    parser.add_argument(
        "--shares", nargs=3, type=float, default=[0.7, 0.1, 0.2], metavar=("TRAIN", "VAL", "TEST"),
        help="of what has no split of its own; default: 0.7 0.1 0.2",
    )  # fmt: skip
    parser.add_argument(
        "--max-side", type=int, default=224, metavar="PX", help="largest side; default: 224"
    )
    parser.add_argument(
        "--min-object", type=int, default=32, metavar="PX",
        help="root of the area of the smallest object that will do as a photograph's largest; "
        "default: 32",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="of a recording, its loudest; default: 3"
    )
    parser.add_argument("--sound-format", choices=SOUND_FORMATS, default="flac")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1))


def run(args: argparse.Namespace) -> None:
    """Make the set, or go on with it; what can't be used is told and left out."""
    sources, form, shares = list(_sources(args)), _form(args), _shares(args.shares)
    class_of = ClassNames(_renamed(args.rename), args.classes)
    check_folder(args.out)
    candidates, left_out = _choose(args, *collect(sources, class_of))
    take_folder(args.out, _settings(args))
    written, unusable = write_all(candidates, args.out, form, args.workers)
    earlier = _earlier(args.out)
    drawn = _splits(earlier, args.out)
    photos, sounds = (
        part(kind, [one for one in written if one.candidate.kind == kind], args.out, shares, drawn)
        for kind in ("photo", "sound")
    )
    left_out += [*unusable, *photos.left_out, *sounds.left_out]
    if not photos.items:
        raise UserError(f"No photograph can be used. Left out: {_reasons(left_out) or 'none'}.")

    items = [*photos.items, *sounds.items]
    counts = count_classes(items)
    too_little = shortages(counts, [split for split in SPLITS if shares[split] > 0])
    making = Making(
        command=shlex.join(["python", "tools/prepare_data.py", *args.argv]),
        form=form,
        shares=shares,
        near_photos=photos.near,
        near_sounds=sounds.near,
    )
    finish(args.out, items, counts, left_out, too_little, making)
    made = [*earlier, *(one.item(args.out, "") for one in written)]
    remove_unlisted(args.out, files_of(made), items)
    show_counts(args.out, counts, too_little)
    _show_left_out(args.out, left_out)
    labelled = sum(count.role == LABELLED for count in counts.values())
    print(
        f"{args.out}/index.csv: {labelled} labelled classes (num_classes={labelled + 1}). "
        f"{args.out}/README.md is the data card, {args.out}/sheets shows the classes."
    )


def _sources(args: argparse.Namespace) -> Iterator[Source]:
    """The sources as they were named.

    Raises:
        UserError: One has too many words, too few, or a split that doesn't exist.
    """
    for kind, needed in (("photos", 1), ("coco", 2), ("sounds", 1)):
        for words in getattr(args, kind):
            split = words[needed] if len(words) == needed + 1 else ""
            if not needed <= len(words) <= needed + 1 or split not in ("", *SPLITS):
                places = "INSTANCES.json IMAGES" if kind == "coco" else "FOLDER"
                raise UserError(
                    f"--{kind} {shlex.join(words)}: give {places} and, if all of it is to be in "
                    f"one split, {', '.join(SPLITS)}; repeat the option for each source."
                )
            images = Path(words[1]) if kind == "coco" else Path()
            if kind != "coco" and args.out.resolve().is_relative_to(Path(words[0]).resolve()):
                raise UserError(
                    f"--out {args.out} lies in the source {words[0]}, which the same command again "
                    "would take it for a part of; name a folder beside it."
                )
            yield Source(kind, Path(words[0]), split, images)
    if not args.photos and not args.coco:
        raise UserError("There are no photographs: name some by --coco or --photos.")


def _form(args: argparse.Namespace) -> Form:
    for name in ("max_side", "min_object", "seconds", "workers", "max_per_class"):
        value = getattr(args, name)
        if value is not None and not value > 0:  # nor is NaN
            raise UserError(f"--{name.replace('_', '-')} {value}: give more than 0.")
    if not MIN_SECONDS <= args.seconds < float("inf"):
        raise UserError(f"--seconds {args.seconds}: give a number from {MIN_SECONDS} up.")
    return Form(args.max_side, args.min_object, args.seconds, args.sound_format)


def _shares(shares: Sequence[float]) -> dict[str, float]:
    total = sum(shares)
    if not all(share >= 0 for share in shares) or not 0 < total < float("inf"):
        raise UserError(f"--shares {shares}: give three numbers from 0 up, not all of them 0.")
    return {split: share / total for split, share in zip(SPLITS, shares, strict=True)}


def _renamed(words: Sequence[str]) -> dict[str, str]:
    pairs = [word.partition("=") for word in words]
    for word, (name, _, new) in zip(words, pairs, strict=True):
        if not name or not new or "=" in new:
            raise UserError(f"--rename {word}: give NAME=CLASS, such as crow=bird.")
    renamed: dict[str, str] = {}
    for name, _, new in pairs:
        if renamed.setdefault(name, new) != new:
            raise UserError(f"--rename: {name} is renamed {renamed[name]} and {new}; give one.")
    return renamed


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"--exclude {path}: it is no text ({error}).") from error
    return [line.strip() for line in lines if line.strip()]


def _tell_unknown(names: Sequence[str], candidates: Sequence[Candidate]) -> None:
    """Warn of what --exclude names and no source has: it may be a slip."""
    files = [file_name(one) for one in candidates]
    unknown = [name for name in names if not any(file.endswith(name) for file in files)]
    if unknown:
        more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
        print(
            f"warning: --exclude: no name ends in {', '.join(unknown[:3])}{more}", file=sys.stderr
        )


def _choose(
    args: argparse.Namespace, candidates: list[Candidate], left_out: list[LeftOut]
) -> tuple[list[Candidate], list[LeftOut]]:
    """Of the candidates those that ``--exclude`` and ``--max-per-class`` leave."""
    names = _lines(args.exclude)
    _tell_unknown(names, candidates)
    candidates, excluded = without(candidates, names)
    if args.max_per_class is not None:
        candidates = keep_at_most(candidates, args.max_per_class)
    return candidates, [*left_out, *excluded]


def _earlier(root: Path) -> list[Item]:
    """What the same command made there before."""
    there = (root / "index.csv").is_file()
    return read_index(root, "Give --out a new folder") if there else []


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    """What decides what the set is."""
    sources = ("coco", "photos", "sounds")
    choices = ("rename", "classes", "max_per_class", "shares")
    form = ("max_side", "min_object", "seconds", "sound_format")
    return {key: getattr(args, key) for key in (*sources, *choices, *form)}


def _splits(items: Sequence[Item], root: Path) -> dict[tuple[str, str], str]:
    return {
        (Path(one.file).relative_to(root).as_posix(), one.class_name): one.split for one in items
    }


def _reasons(left_out: Sequence[LeftOut]) -> str:
    number = Counter(one.reason for one in left_out)
    return ", ".join(f"{number[key]} x {text}" for key, text in REASONS.items() if number[key])


def _show_left_out(out: Path, left_out: Sequence[LeftOut]) -> None:
    texts = [
        (one.reason, f"{one.path}: {one.detail}" if one.detail else str(one.path))
        for one in left_out
    ]
    if texts:
        show_kinds(f"Left out; {out / 'left_out.csv'} names all of it", REASONS, texts)
