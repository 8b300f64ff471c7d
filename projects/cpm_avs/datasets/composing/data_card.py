"""The data card of a set: what it was made of, under which licences, how much, how it was split."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..avs_dataset import SPLITS
from ..composed.index import Item
from .candidate import NOT_STATED, REASONS, LeftOut
from .counts import ClassCount
from .writing import Form


@dataclass(frozen=True)
class Making:
    """How a set was made.

    Attributes:
        command: As it was typed.
        form: How the files were to be.
        shares: Split -> its share of the groups.
        near_photos: Pairs of near-duplicates among photographs.
        near_sounds: Pairs of near-duplicates among recordings.
    """

    command: str
    form: Form
    shares: Mapping[str, float]
    near_photos: int
    near_sounds: int


def data_card(
    making: Making,
    items: Sequence[Item],
    counts: Mapping[str, ClassCount],
    left_out: Sequence[LeftOut],
    too_little: Iterable[str],
) -> str:
    """The card, in Markdown."""
    photos = sum(one.kind == "photo" for one in items)
    shares = ", ".join(f"{making.shares[split]:g} {split}" for split in SPLITS)
    form = making.form
    lines = [
        "# Photographs and recordings for composed scenes",
        "",
        f"{photos} photographs and {len(items) - photos} recordings of {len(counts)} classes, made "
        "by",
        "",
        "```shell",
        making.command,
        "```",
        "",
        f"Photographs have at most {form.max_side} px and a largest object of at least "
        f"{form.min_object} px; recordings are the loudest {form.seconds:g} s, 16 kHz mono. "
        "`sheets/` shows them by class.",
        "",
        "## Sources and licences",
        "",
        *_table(("source", "licence", "photographs", "recordings"), _licences(items)),
        "",
        f'Licences are as the sources state them. "{NOT_STATED}": no file of the source names one; '
        "ask its authors before passing anything on, a model trained on it included.",
        "",
        "## Classes",
        "",
        *_table(("class", "", "photographs", "recordings"), _classes(counts)),
        "",
        f"Numbers are {' / '.join(SPLITS)}.",
        "",
        "## Splits",
        "",
        f"Shares: {shares}. What comes from one photograph or one source recording is in one "
        "split, and so are near-duplicates: "
        f"{making.near_photos} pairs of photographs, {making.near_sounds} of recordings. A hash of "
        "the names draws the split where the source has none of its own.",
        "",
        "## Left out",
        "",
        *_reasons(left_out),
        "",
        "## Too little",
        "",
        *([f"- {line}" for line in too_little] or ["Nothing."]),
    ]
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    cells = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in cells]


def _licences(items: Iterable[Item]) -> list[tuple[str, str, int, int]]:
    number = Counter((one.source, one.licence, one.kind) for one in items)
    stated = sorted({(source, licence) for source, licence, _ in number})
    return [
        (source, licence, number[source, licence, "photo"], number[source, licence, "sound"])
        for source, licence in stated
    ]


def _classes(counts: Mapping[str, ClassCount]) -> list[tuple[str, str, str, str]]:
    return [
        (name, count.role, split_counts(count.photos), split_counts(count.sounds))
        for name, count in counts.items()
    ]


def split_counts(numbers: Mapping[str, int]) -> str:
    """Numbers of train, val and test in a row.

    >>> split_counts({"train": 60, "test": 16})
    '60 / 0 / 16'
    """
    return " / ".join(str(numbers.get(split, 0)) for split in SPLITS)


def _reasons(left_out: Sequence[LeftOut]) -> list[str]:
    number = Counter(one.reason for one in left_out)
    if not number:
        return ["Nothing."]
    return [
        "`left_out.csv` names all of it.",
        "",
        *(f"- {number[reason]}: {text}" for reason, text in REASONS.items() if number[reason]),
    ]
