"""AVSBench-Robust's off-screen sounds: whose sound a clip of S4 or MS3 hears at test.

The rule is that of https://github.com/jiali-home/AVSBench-Robust (arXiv 2502.00358): a clip hears
another one of its split whose sounds are all of another kind, and not of the kind that the rule
holds to be least suitable. One stream of random numbers, from seed 42, goes through the splits in
the order test, train, val. The authors go through folders as their file system lists them, which
no seed repeats; here names are in order.
"""

import random
from collections import defaultdict
from collections.abc import Sequence

from .clip_index import Clip

SEED = 42
#: In which the stream of random numbers goes through the splits.
SPLITS = ("test", "train", "val")

#: Kinds in the order in which categories of S4 are lined up.
S4_KINDS: dict[str, tuple[str, ...]] = {
    "music": (
        "playing_acoustic_guitar", "playing_glockenspiel", "playing_piano", "playing_tabla",
        "playing_ukulele", "playing_violin",
    ),
    "human": ("baby_laughter", "female_singing", "male_speech"),
    "animal": (
        "cat_meowing", "coyote_howling", "dog_barking", "horse_clip-clop", "lions_roaring",
        "mynah_bird_singing",
    ),
    "device": (
        "ambulance_siren", "cap_gun_shooting", "chainsawing_trees", "driving_buses", "helicopter",
        "lawn_mowing", "race_car", "typing_on_computer_keyboard",
    ),
}  # fmt: skip
MS3_KINDS: dict[str, tuple[str, ...]] = {
    "music": ("guitar", "tabla", "violin", "ukulele", "piano", "marimba"),
    "human": ("man", "woman", "baby"),
    "animal": ("dog", "cat", "lion", "bird", "wolf"),
    "device": ("mower", "background", "bus", "car", "gun", "saw", "emergency-car", "keyboard"),
}
#: The kind that a clip does not hear either, beside its own.
S4_UNSUITABLE = {"music": "human", "human": "music", "animal": "human"}
MS3_UNSUITABLE = S4_UNSUITABLE | {"device": "music"}


def pair_s4(clips: Sequence[Clip]) -> dict[str, str]:
    """Clip -> clip that it hears: first a category of another kind is drawn, then a clip of it.

    A clip of an unknown category, and one to which none is foreign, hear any other category.

    Args:
        clips: Of all splits; the category is the one name in ``classes``.
    """
    rng = random.Random(SEED)
    kind_of = _kinds_by_name(S4_KINDS)
    pairs = {}
    for split in SPLITS:
        of_category: dict[str, list[str]] = defaultdict(list)
        for clip in sorted(clips, key=lambda clip: clip.clip_id):
            if clip.split == split:
                of_category[clip.classes[0]].append(clip.clip_id)
        for category in sorted(of_category):
            own = kind_of.get(category)
            barred = {own, S4_UNSUITABLE.get(own or "")}
            foreign = [
                name
                for kind, members in S4_KINDS.items()
                if own and kind not in barred
                for name in members
                if name in of_category
            ]
            choices = foreign or [name for name in sorted(of_category) if name != category]
            for clip_id in of_category[category] if choices else ():
                pairs[clip_id] = rng.choice(of_category[rng.choice(choices)])
    return pairs


def pair_ms3(clips: Sequence[Clip], order: Sequence[str]) -> dict[str, str]:
    """Clip -> clip that it hears, drawn from all that share no kind with it.

    A clip whose names are of no kind, and one to which none is foreign, hear any other clip.

    Args:
        clips: Of all splits, with what sounds as ``classes``.
        order: Of the clips from which one is drawn, that of AVSBench-semantic's index.
    """
    rng = random.Random(SEED)
    kind_of = _kinds_by_name(MS3_KINDS)
    by_name = {clip.clip_id: clip for clip in clips}
    pairs = {}
    for split in SPLITS:
        kinds = {
            name: {kind_of[one] for one in by_name[name].classes if one in kind_of}
            for name in order
            if name in by_name and by_name[name].split == split
        }
        for name in sorted(kinds):
            barred = kinds[name] | {MS3_UNSUITABLE[kind] for kind in kinds[name]}
            others = [other for other in kinds if other != name]
            foreign = [other for other in others if kinds[name] and not kinds[other] & barred]
            if others:
                pairs[name] = rng.choice(foreign or others)
    return pairs


def _kinds_by_name(kinds: dict[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: kind for kind, names in kinds.items() for name in names}
