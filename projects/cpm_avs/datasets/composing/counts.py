"""How much of each class a set has, and what is too little."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..avs_dataset import SPLITS
from ..composed.composed_dataset import DIFFICULTY
from ..composed.index import Item

#: Photographs and recordings of a class that are few to train on.
FEW_PHOTOS, FEW_SOUNDS = 20, 10
#: Role of classes that are seen and heard, the others being there to be told from them.
LABELLED = "labelled"


@dataclass
class ClassCount:
    """Photographs and recordings of a class by split."""

    photos: dict[str, int] = field(default_factory=dict)
    sounds: dict[str, int] = field(default_factory=dict)

    @property
    def role(self) -> str:
        """What scenes make of the class."""
        if not self.sounds:
            return "silent object"
        return LABELLED if self.photos else "off-screen sound"


def count_classes(items: Iterable[Item]) -> dict[str, ClassCount]:
    """Counts of each class, in alphabetical order; what is in all splits counts in each."""
    counts: dict[str, ClassCount] = {}
    for item in items:
        count = counts.setdefault(item.class_name, ClassCount())
        numbers = count.photos if item.kind == "photo" else count.sounds
        for split in [item.split] if item.split else SPLITS:
            numbers[split] = numbers.get(split, 0) + 1
    return dict(sorted(counts.items()))


def shortages(counts: Mapping[str, ClassCount], splits: Sequence[str]) -> list[str]:
    """What is missing or little, a sentence each.

    Args:
        counts: Of each class.
        splits: Those that the set is to have.
    """
    found = []
    for subset, (objects, sounding) in DIFFICULTY.items():
        distinct = objects - (subset == "msmi")
        for split in splits:
            visible = sum(split in count.photos for count in counts.values())
            both = sum(split in one.photos and split in one.sounds for one in counts.values())
            if visible < distinct or both < max(sounding):
                found.append(
                    f"{split}: {visible} classes with photographs, {both} of them with recordings; "
                    f"scenes of {subset!r} need {distinct} and {max(sounding)}."
                )
    for name, count in counts.items():
        for kind, numbers in (("photographs", count.photos), ("recordings", count.sounds)):
            lacking = [split for split in splits if split not in numbers]
            if numbers and lacking:
                total = sum(numbers.values())
                found.append(f"{name}: none of its {total} {kind} is in {' and '.join(lacking)}.")
        photos, sounds = count.photos.get("train", 0), count.sounds.get("train", 0)
        few = []
        if count.photos and photos < FEW_PHOTOS:
            few.append(f"{photos} photographs (fewer than {FEW_PHOTOS})")
        if count.sounds and sounds < FEW_SOUNDS:
            few.append(f"{sounds} recordings (fewer than {FEW_SOUNDS})")
        if few and "train" in splits:
            found.append(f"{name}: {' and '.join(few)} to train on.")
    return found
