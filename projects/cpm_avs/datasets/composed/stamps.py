"""AVS-Stamps, the built-in data: 24 objects, a cut-out and a recording each, on textures."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from mmseg.registry import DATASETS

from ...constants import REPOSITORY
from ..palette import voc_palette
from .composed_dataset import ComposedDataset
from .index import choose, read_index
from .library import Library

CLASSES = (
    "background", "bear", "camel", "cello", "chimpanzee", "cow", "crow", "cymbal", "dog",
    "dolphin", "donkey", "drum", "duck", "elephant", "fire-truck", "frog", "horse", "owl",
    "penguin", "rooster", "saw", "sheep", "tiger", "toilet", "violin",
)  # fmt: skip
PALETTE = voc_palette(len(CLASSES))
#: They lie in the repository, whatever folder a tool is started in.
BUILT_IN = str(REPOSITORY / "data" / "stamps")
_REMEDY = "Restore data/stamps from the repository, or see: tools/prepare_data.py stamps --help"


@lru_cache(maxsize=4)
def load_stamps(data_root: str, classes: tuple[str, ...] = ()) -> Library:
    """Cut-outs and recordings, the same in all splits; where classes are named, of these alone."""
    items = read_index(Path(data_root), _REMEDY)
    found = Library(items).names
    if found != CLASSES[1:]:
        raise ValueError(f"{data_root}/index.csv lists {found}; expected {CLASSES[1:]}.")
    return Library(choose(items, "", classes=classes), found)


@DATASETS.register_module()
class StampsDataset(ComposedDataset):
    """Scenes of the built-in benchmark.

    Args:
        data_root: The folder with index.csv, cut-outs and sounds.
        image_size: Side of the picture, px.
    """

    METAINFO = dict(classes=CLASSES, palette=PALETTE)
    scene_name = "stamps"

    def __init__(self, *, data_root: str = BUILT_IN, image_size: int = 96, **kwargs: Any) -> None:
        super().__init__(data_root=data_root, image_size=image_size, **kwargs)

    @property
    def library(self) -> Library:
        return load_stamps(self.scenes_root, self.only)
