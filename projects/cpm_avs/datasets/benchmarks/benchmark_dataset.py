"""The base of the published benchmarks: clip records to items, a frame or a clip each."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import BadSampleError, looked_for
from ..avs_dataset import SPLITS, AVSDataset
from ..unread import refuse_unread
from .clip_index import Clip, Frame, Sound


class BenchmarkDataset(AVSDataset):
    """One split of a benchmark in the layout in which it is distributed.

    Besides the keys of ``AVSDataset`` an entry has ``sounds``, a list of (path, position,
    stereo_path), ``classes``, the names that the index has for the clip, ``sound_positions``, class
    index and position of each sound, where the index has positions, and for AVSBench-semantic
    ``source`` ('ss' or 'ms'). Frames without a mask are left out (S4 and v1s train label only the
    first), unless whole clips are asked for.

    Args:
        split: 'train', 'val' or 'test'.
        frames_per_clip: What training sees of a clip in an epoch: 'one', a random one of its
            labelled frames, 'all' of these, or the 'whole' clip with those that have no label, for
            a ``ClipDataset``. Validation and test (any split with ``test_mode``) always have all.
    """

    #: Index file below the data root, where ``ann_file`` names no other.
    INDEX = ""

    def __init__(
        self,
        *,
        split: str,
        ann_file: str = "",
        frames_per_clip: str = "one",
        **kwargs: Any,  # to AVSDataset
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: use one of {', '.join(SPLITS)}.")
        if frames_per_clip not in ("one", "all", "whole"):
            raise ValueError(f"frames_per_clip={frames_per_clip!r}: use 'one', 'all' or 'whole'.")
        refuse_unread(type(self), kwargs)
        self.split, self.frames_per_clip = split, frames_per_clip
        super().__init__(ann_file=ann_file or self.INDEX, **kwargs)

    @property
    def draws_frames(self) -> bool:
        """Whether an item is one of a clip's frames, another one each time."""
        return self.frames_per_clip == "one" and self.split == "train" and not self.test_mode

    @abstractmethod
    def read_clips(self, root: Path) -> list[Clip]:
        """Records of the index file ``self.ann_file``, of all splits."""

    def load_data_list(self) -> list[dict[str, Any]]:
        if not Path(self.ann_file).is_file():
            raise BadSampleError(
                self.ann_file,
                f"there is no index file{looked_for(self.ann_file)}",
                "data/README.md has the tree expected; data_root is the folder that holds the "
                "index",
            )
        clips = self.read_clips(Path(self.data_root or "."))
        for row in (row for clip in clips if clip.split == self.split for row in clip.rows):
            if row.fault:
                raise BadSampleError(
                    f"{self.ann_file}, line {row.line}",
                    row.fault,
                    "Take the index of the original archive, or leave the row out with "
                    "tools/prepare_data.py check --fix-index",
                )
        whole = self.frames_per_clip == "whole"
        chosen = [
            [self._frame_entry(clip, frame) for frame in clip.frames if frame.seg_map_path or whole]
            for clip in clips
            if clip.split == self.split
        ]
        # An item is what one draw chooses from: the frames of a clip, or one frame.
        if self.draws_frames:
            items = [entries for entries in chosen if entries]
        else:
            items = [[entry] for entries in chosen for entry in entries]
        if not items:
            splits = sorted({clip.split for clip in clips})
            raise BadSampleError(
                self.ann_file,
                f"no item of split {self.split!r}; there are {splits} among the {len(clips)} clips "
                "of the subset asked for",
                "Choose another split or subset",
            )
        return [dict(frames=entries) for entries in items]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """An item; of several frames one at random.

        numpy's random state chooses, which ``__getitem__`` seeds by the draw: the same frame for
        the same draw, on any rank and in any worker, in a resumed run, too.
        """
        info = super().get_data_info(idx)
        frames = info.pop("frames")
        return info | frames[np.random.randint(len(frames))]

    def _frame_entry(self, clip: Clip, frame: Frame) -> dict[str, Any]:
        more: dict[str, Any] = {} if clip.source is None else dict(source=clip.source)
        if all(sound.position is not None for sound in clip.sounds):
            more["sound_positions"] = self._sound_positions(clip.sounds)
        return self.entry(
            img_path=frame.img_path,
            seg_map_path=frame.seg_map_path,
            audio_path=clip.sounds[0].path,
            audio_start=frame.audio_start,
            clip_id=clip.clip_id,
            frame_index=frame.index,
            subset=clip.subset,
            sounds=[(sound.path, sound.position, sound.stereo_path) for sound in clip.sounds],
            classes=list(clip.classes),
            **more,
        )

    def _sound_positions(self, sounds: Sequence[Sound]) -> list[tuple[int, float]]:
        """Class index and place of each sound, of the classes that are not left out."""
        names = self._metainfo["classes"]
        return [
            (names.index(name), sound.position)
            for sound in sounds
            for name in sound.classes
            if sound.position is not None and 0 <= sound.position <= 1 and name in names
        ]

    def heard_classes(self, info: dict[str, Any]) -> set[str]:
        return self.known_classes(info) if super().heard_classes(info) else set()

    def visible_classes(self, info: dict[str, Any]) -> set[str]:
        return self.known_classes(info)

    def known_classes(self, info: dict[str, Any]) -> set[str]:
        """What is known to be in the clip of an item: names out of its mask and the index.

        The index also names what is silent in this frame. The clip itself is among them, for where
        nothing is named.
        """
        known = {*info["classes"], info["clip_id"]}
        if self.MASK_ENCODING != "binary":  # it doesn't tell categories apart
            known |= {self._metainfo["classes"][index] for index in super().heard_classes(info)}
        return known
