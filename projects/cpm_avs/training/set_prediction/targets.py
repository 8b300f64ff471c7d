"""Ground truth as segments: one label and one mask per class that an image shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from mmseg.structures import SegDataSample
from torch import Tensor

from ...constants import IGNORE_INDEX


@dataclass(frozen=True)
class SegmentTargets:
    """The segments of a batch, flattened over its images.

    Attributes:
        labels: Class of each segment, (S,), background included.
        image_index: Image that each segment belongs to, (S,), ascending.
        masks: (S, H, W) bool.
        label_map: (B, H, W) int64, 255 where nothing is known.
        sounding: Classes that sound in an image, (B, C) bool, background excluded.
        unlabelled: Images of which nothing is known, as frames of a clip that are there for the
            others to look back at.
    """

    labels: Tensor
    image_index: Tensor
    masks: Tensor
    label_map: Tensor
    sounding: Tensor
    unlabelled: tuple[int, ...] = ()

    @property
    def may_sound(self) -> Tensor:
        """Classes that an image's sound may hold, (B, C) bool: all, where nothing is known."""
        if not self.unlabelled:
            return self.sounding
        return self.sounding.index_fill(0, self._places(self.unlabelled), True)

    def of_labelled(self, values: Tensor) -> Tensor:
        """Of values (B, ...) those of images with a label."""
        if not self.unlabelled:
            return values
        return values[self._places(sorted({*range(len(values))} - {*self.unlabelled}))]

    def _places(self, numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=self.sounding.device, dtype=torch.long)

    @property
    def valid(self) -> Tensor:
        """Pixels with a label, (B, H, W) bool."""
        return self.label_map != IGNORE_INDEX

    @cached_property
    def counts(self) -> list[int]:
        """Segments an image."""
        return self.image_index.bincount(minlength=len(self.label_map)).tolist()

    @cached_property
    def place(self) -> Tensor:
        """Of each segment among those of its image, from 0, (S,)."""
        counts = torch.tensor(self.counts, device=self.labels.device)
        return (
            torch.arange(len(self.labels), device=counts.device)
            - (counts.cumsum(0) - counts)[self.image_index]
        )

    @cached_property
    def unseen(self) -> Tensor:
        """Classes that sound in an image but have no segment there, (B, C) bool.

        A crop left their object out, or the data set says that it sounds off the screen.
        """
        shown = torch.zeros_like(self.sounding)
        shown[self.image_index, self.labels] = True
        return self.sounding & ~shown


def build_targets(data_samples: Sequence[SegDataSample], num_classes: int) -> SegmentTargets:
    """Split label maps into segments.

    Args:
        data_samples: With ``gt_sem_seg`` (1, H, W), all of one size; 255 is left out. What sounds
            is ``sound_classes`` of the metainfo where the data set has it, else the mask's classes.
            Some may have no ``gt_sem_seg``: nothing is known of these.
        num_classes: C, classes with background.

    Raises:
        ValueError: A label is neither below ``num_classes`` nor 255, or there is none at all.
    """
    known = [sample.gt_sem_seg.data[0] for sample in data_samples if "gt_sem_seg" in sample]
    if not known:
        raise ValueError("no frame of the batch has a label; give clips with a labelled frame")
    nothing = torch.full_like(known[0], IGNORE_INDEX)
    label_maps = torch.stack(
        [s.gt_sem_seg.data[0] if "gt_sem_seg" in s else nothing for s in data_samples]
    ).long()
    unlabelled = tuple(k for k, s in enumerate(data_samples) if "gt_sem_seg" not in s)
    valid = label_maps != IGNORE_INDEX
    batch_size = len(label_maps)
    # One histogram for the batch: image b's class c falls into bin b * (C + 1) + c, ignored
    # pixels into its last one.
    shifted = torch.where(valid, label_maps, num_classes)
    largest = int(label_maps.masked_fill(~valid, 0).max())
    if largest >= num_classes:
        raise ValueError(
            f"a mask holds the label {largest}, but the model has {num_classes} classes; "
            "set num_classes, or map the labels in the data set"
        )
    offsets = torch.arange(batch_size, device=shifted.device).view(-1, 1, 1) * (num_classes + 1)
    histogram = (shifted + offsets).flatten().bincount(minlength=batch_size * (num_classes + 1))
    present = histogram.view(batch_size, num_classes + 1)[:, :num_classes] > 0
    image_index, labels = present.nonzero(as_tuple=True)
    masks = shifted[image_index] == labels.view(-1, 1, 1)

    sounding = torch.where(*_known_sounds(data_samples, num_classes, present.device), present)
    sounding[:, 0] = False
    for index in unlabelled:  # prompts of what sounds would learn that there is nothing to see
        sounding[index] = False
    return SegmentTargets(labels, image_index, masks, label_maps, sounding, unlabelled)


def _known_sounds(
    data_samples: Sequence[SegDataSample], num_classes: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Whether the data set says what sounds, (B, 1) bool, and what does, (B, C) bool."""
    told = torch.zeros(len(data_samples), 1, dtype=torch.bool)
    classes = torch.zeros(len(data_samples), num_classes, dtype=torch.bool)
    for index, sample in enumerate(data_samples):
        known = sample.metainfo.get("sound_classes")
        if known is not None:
            told[index] = True
            classes[index, list(known)] = True
    return told.to(device), classes.to(device)
