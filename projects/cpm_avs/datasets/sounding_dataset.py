"""Any set with one class alone: what sounds, whatever it is."""

from typing import Any

from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from .benchmarks.class_names import BINARY_CLASSES
from .palette import voc_palette


@DATASETS.register_module()
class SoundingDataset(Dataset):
    """Items of another set, every class of which becomes class 1, 'sounding'.

    For a start of a training on classes: where does anything sound? What is ignored stays so.

    Args:
        dataset: Config of a set that gives items of ``PackAVSInputs``.
        lazy_init: Leave the index unread until it is needed.
    """

    METAINFO = dict(classes=BINARY_CLASSES, palette=voc_palette(len(BINARY_CLASSES)))

    def __init__(self, *, dataset: dict[str, Any], lazy_init: bool = False) -> None:
        self.dataset = DATASETS.build(dataset, default_args=dict(lazy_init=lazy_init))

    @property
    def metainfo(self) -> dict[str, Any]:
        """Of two classes."""
        return self.dataset.metainfo | self.METAINFO

    def full_init(self) -> None:
        """Read the index."""
        self.dataset.full_init()

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> dict[str, Any]:
        item = self.dataset[idx]
        sample = item["data_samples"]
        if "gt_sem_seg" in sample:
            labels = sample.gt_sem_seg.data
            labels[(labels > 0) & (labels != self.dataset.ignore_index)] = 1
        if "sound_classes" in sample.metainfo:
            heard = sorted({min(label, 1) for label in sample.sound_classes})
            sample.set_metainfo(dict(sound_classes=heard))
        return item
