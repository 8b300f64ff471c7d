"""Whole clips out of a set of frames, for models that see the frames of a clip together.

Shorthand: T frames of a clip.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from .avs_dataset import AVSDataset
from .sample_index import SampleIndex
from .seeding import seeded

Taken = TypeVar("Taken")


@DATASETS.register_module()
class ClipDataset(Dataset):
    """One item is a list of a clip's T frames, as the frames' own set packs them, in their order.

    Frames of one ``subset`` and ``clip_id`` are a clip; each carries T as ``clip_length`` in its
    metainfo. All of them go through the pipeline with the same random draws, so that frames of one
    size are cropped, mirrored and lit alike. A clip with a bad frame is replaced as a whole. Under
    ``audio_condition='offscreen'`` each frame hears what it would hear in the set of frames.

    Batches need ``collate_fn=dict(type='clip_collate')``; a batch size counts clips.

    Args:
        dataset: Config of an ``AVSDataset``, of which an item is one frame.
        lazy_init: Leave the index unread until it is needed.
    """

    def __init__(self, *, dataset: dict[str, Any], lazy_init: bool = False) -> None:
        # Else mmengine's would look at its files even where only the classes' names are wanted.
        self.dataset: AVSDataset = DATASETS.build(dataset, default_args=dict(lazy_init=True))
        if not isinstance(self.dataset, AVSDataset):
            raise ValueError(
                f"ClipDataset makes clips of an AVSDataset's frames, not of a {dataset['type']}; "
                "put it inside of other wrappers"
            )
        self._clips: list[list[int]] | None = None
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict[str, Any]:
        """Of the set of frames."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Read the index, and see which frames make a clip."""
        if self._clips is not None:
            return
        if getattr(self.dataset, "draws_frames", False):
            raise ValueError(
                "ClipDataset needs all frames of a clip, and its dataset draws one of them at a "
                "time; set frames_per_clip='whole', or 'all' to leave out those without a label"
            )
        self.dataset.full_init()
        places: dict[tuple[str, str], list[tuple[int, int]]] = {}
        for idx in range(len(self.dataset)):
            info = self.dataset.get_data_info(idx)
            clip = places.setdefault((info["subset"], info["clip_id"]), [])
            clip.append((info["frame_index"], idx))
        self._clips = [[idx for _, idx in sorted(clip)] for clip in places.values()]

    @property
    def clips(self) -> list[list[int]]:
        """Per clip, where its frames stand in the set of frames."""
        self.full_init()
        assert self._clips is not None
        return self._clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, idx: int) -> list[dict[str, Any]]:
        return self._draw(idx, list)

    def labelled_frame(self, idx: int) -> dict[str, Any]:
        """The first frame with a label, or else the first, of what ``[idx]`` gives.

        The frames behind it are not made, and if one of them is bad this is not noticed.
        """
        return self._draw(idx, _first_labelled)

    def _draw(self, idx: int, take: Callable[[Iterator[dict[str, Any]]], Taken]) -> Taken:
        """What ``take`` takes of a clip's frames, with the draws of this item."""
        clips = self.clips
        draw = idx.draw if isinstance(idx, SampleIndex) else int(idx)
        with seeded(self.dataset.seed, draw):
            return self.dataset.usable(
                int(idx),
                lambda clip, skipped: take(self._frames(clip, skipped)),
                lambda: np.random.randint(len(clips)),
            )

    def _frames(self, clip: int, skipped: Sequence[str]) -> Iterator[dict[str, Any]]:
        frames = self.clips[clip]
        start = np.random.randint(2**31)
        for number, frame in enumerate(frames):
            with seeded(start):
                # Named once, by the clip's first frame.
                item = self.dataset.prepare_data(frame, () if number else skipped)
            item["data_samples"].set_metainfo(dict(clip_length=len(frames)))
            yield item


def _first_labelled(frames: Iterator[dict[str, Any]]) -> dict[str, Any]:
    first = next(frames)
    return next(
        (one for one in chain([first], frames) if "gt_sem_seg" in one["data_samples"]), first
    )


@FUNCTIONS.register_module()
def clip_collate(batch: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """A batch of clips as a batch of their frames, one after another; mmengine's pseudo_collate."""
    return pseudo_collate([frame for clip in batch for frame in clip])
