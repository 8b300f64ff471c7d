"""ESC-50 and FSD50K, both cut from recordings of Freesound, in the layout they come in."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import BadSampleError
from ..avs_dataset import SPLITS
from ..names import fault_of_name
from .candidate import NOT_STATED, Candidate, ClassNames, LeftOut
from .class_folders import freesound_origin

ESC50_INDEX = Path("meta/esc50.csv")
FSD50K_INDICES = Path("FSD50K.ground_truth")
_CLIP_LICENCE = re.compile(r"\[([\w-]+)\.\w+\]:.*\[([^\[\]]+)\]\s*$", re.MULTILINE)


def is_esc50(root: Path) -> bool:
    """Whether a folder is laid out as ESC-50."""
    return (root / ESC50_INDEX).is_file()


def is_fsd50k(root: Path) -> bool:
    """Whether a folder is laid out as FSD50K."""
    return (root / FSD50K_INDICES).is_dir()


def read_esc50(
    root: Path, split: str, class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """ESC-50's clips of wanted classes; those of one recording (``src_file``) share their origin.

    The licence is the set's and, where the file LICENSE is there, the clip's own.
    """
    path = root / "LICENSE"
    clips = dict(_CLIP_LICENCE.findall(path.read_text(errors="replace"))) if path.is_file() else {}
    found, left_out = [], []
    for row in _rows(root / ESC50_INDEX, "filename", "category", "src_file"):
        if (name := class_of(row["category"])) is None:
            continue
        if fault := fault_of_name(row["filename"]):
            left_out.append(LeftOut(root / ESC50_INDEX, name, "outside", fault))
            continue
        licence = "ESC-10: CC BY 3.0" if row.get("esc10") == "True" else "ESC-50: CC BY-NC 3.0"
        # LICENSE names the clips without the number of their class.
        own = clips.get(row["filename"].rpartition("-")[0])
        found.append(
            Candidate(
                kind="sound",
                class_name=name,
                path=root / "audio" / row["filename"],
                source="ESC-50",
                name=row["filename"],
                origin=freesound_origin(row["src_file"]),
                licence=f"{licence}; clip: {own}" if own else licence,
                split=split,
            )
        )
    return found, left_out


def read_fsd50k(
    root: Path, split: str, class_of: ClassNames
) -> tuple[list[Candidate], list[LeftOut]]:
    """FSD50K's clips in which exactly one wanted class is heard, with the split of the set.

    A label comes with all that it is a kind of (a bark is a dog's sound and an animal's); only
    wanted classes count.

    Raises:
        BadSampleError: An index or the clips' licences can't be read.
        ValueError: ``class_of`` wants all classes.
    """
    if class_of.wanted is None:
        raise ValueError("FSD50K's labels overlap: name the classes that are wanted.")
    indices = {part: root / FSD50K_INDICES / f"{part}.csv" for part in ("dev", "eval")}
    indices = {part: path for part, path in indices.items() if path.is_file()}
    if not indices:
        folder = root / FSD50K_INDICES
        raise BadSampleError(folder, "it has neither dev.csv nor eval.csv", "Extract it again")
    found, left_out = [], []
    for part, index in indices.items():
        licences = _clip_licences(root / "FSD50K.metadata" / f"{part}_clips_info_FSD50K.json")
        for row in _rows(index, "fname", "labels"):
            path = root / f"FSD50K.{part}_audio" / f"{row['fname']}.wav"
            heard = {name for label in row["labels"].split(",") if (name := class_of(label))}
            if heard and (fault := fault_of_name(row["fname"])):
                left_out.append(LeftOut(index, " ".join(sorted(heard)), "outside", fault))
                continue
            if len(heard) > 1:
                names = " ".join(sorted(heard))
                left_out.append(LeftOut(path, "", "several_classes", names))
            if len(heard) != 1:
                continue
            own = "test" if part == "eval" else row.get("split", "")
            found.append(
                Candidate(
                    kind="sound",
                    class_name=heard.pop(),
                    path=path,
                    source="FSD50K",
                    name=row["fname"],
                    origin=freesound_origin(row["fname"]),
                    licence=licences.get(row["fname"], NOT_STATED),
                    split=split or (own if own in SPLITS else ""),
                )
            )
    return found, left_out


def _rows(path: Path, *columns: str) -> Iterator[dict[str, Any]]:
    remedy = "Extract it again"
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := [one for one in columns if one not in (reader.fieldnames or ())]:
                raise BadSampleError(path, f"it lacks the columns {', '.join(missing)}", remedy)
            for row in reader:
                if any(not row[one] for one in columns):
                    raise BadSampleError(path, f"line {reader.line_num} is incomplete", remedy)
                yield row
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadSampleError(path, f"it can't be read ({error})", remedy) from error


def _clip_licences(path: Path) -> dict[str, str]:
    """Clip -> its licence; empty where the file isn't there."""
    if not path.is_file():
        return {}
    try:
        clips = json.loads(path.read_bytes())
        return {name: entry["license"] for name, entry in clips.items() if entry.get("license")}
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise BadSampleError(path, f"it can't be read ({error})", "Extract it again") from error
