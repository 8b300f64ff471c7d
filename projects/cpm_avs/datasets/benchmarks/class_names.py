"""Class names, colours and category ids of the benchmarks; index 0 is always the background."""

import json
from pathlib import Path

from ...errors import BadSampleError

#: AVSBench-object S4 and MS3 say only where something sounds.
BINARY_CLASSES = ("background", "sounding")

#: AVSBench-semantic: the key order of its label2idx.json.
AVSS_CLASSES = tuple(
    """background accordion airplane axe baby bassoon bell bird boat boy bus car cat cello clarinet
    clipper clock dog donkey drum duck elephant emergency-car erhu flute frying-food girl goose
    guitar gun guzheng hair-dryer handpan harmonica harp helicopter hen horse keyboard leopard lion
    man marimba missile-rocket motorcycle mower parrot piano pig pipa saw saxophone sheep sitar
    sorna squirrel tabla tank tiger tractor train trombone truck trumpet tuba ukulele utv
    vacuum-cleaner violin wolf woman""".split()  # noqa: SIM905
)

#: Categories of the S4 videos (folders); the masks don't tell them apart.
S4_CATEGORIES = tuple(
    """ambulance_siren baby_laughter cap_gun_shooting cat_meowing chainsawing_trees coyote_howling
    dog_barking driving_buses female_singing helicopter horse_clip-clop lawn_mowing lions_roaring
    male_speech mynah_bird_singing playing_acoustic_guitar playing_glockenspiel playing_piano
    playing_tabla playing_ukulele playing_violin race_car typing_on_computer_keyboard""".split()  # noqa: SIM905
)

#: COCO category id -> class of VPO; 92 to 94 are VPO's own split of COCO's person.
COCO_ID_TO_NAME = {
    3: "car",
    4: "motorcycle",
    5: "airplane",
    6: "bus",
    16: "bird",
    17: "cat",
    18: "dog",
    19: "horse",
    20: "sheep",
    21: "cow",
    22: "elephant",
    24: "zebra",
    37: "sports ball",
    41: "skateboard",
    43: "tennis racket",
    74: "mouse",
    76: "keyboard",
    77: "cell phone",
    92: "male",
    93: "female",
    94: "baby",
}
VPO_CLASSES = ("background", *sorted(COCO_ID_TO_NAME.values()))
#: Value in a VPO mask -> class index. To be looked up in one go: a renaming one after the other
#: turns cars (3 -> 5) into airplanes (5 -> 1).
COCO_LABEL_MAP = {0: 0} | {
    category: VPO_CLASSES.index(name) for category, name in COCO_ID_TO_NAME.items()
}


def check_label2idx(path: Path) -> None:
    """Check that a label2idx.json means the same 71 classes, in the same order.

    Copies of the file count from 0 or from 1; only the order matters, the masks hold 0 to 70.

    Raises:
        BadSampleError: The file is not a table of integers, or the names or their order differ.
    """
    remedy = "Take the file of the original archive"
    try:
        label2idx = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of JSON or UTF-8, or lists in lists
        raise BadSampleError(path, f"it can't be read ({error})", remedy) from error
    if not isinstance(label2idx, dict) or not all(type(i) is int for i in label2idx.values()):
        raise BadSampleError(path, "not a table of class names and integers", remedy)
    names = sorted(label2idx, key=label2idx.__getitem__)
    if tuple(names) == AVSS_CLASSES:
        return
    unknown = sorted(set(names) - set(AVSS_CLASSES))
    missing = sorted(set(AVSS_CLASSES) - set(names))
    raise BadSampleError(
        path,
        f"{len(names)} classes that are not the 71 of AVSBench-semantic in their order (unknown "
        f"{unknown}, missing {missing})",
        remedy,
    )
