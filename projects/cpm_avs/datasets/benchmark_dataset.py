"""The base of the published benchmarks: clip records to one entry per frame."""

from abc import abstractmethod
from pathlib import Path
from typing import Any

from .avs_dataset import AVSDataset
from .clip_index import SPLITS, Clip, Frame


class BenchmarkDataset(AVSDataset):
    """One split of a benchmark in the layout in which it is distributed.

    Besides the keys of ``AVSDataset`` an entry has ``sounds``, a list of (path, position,
    stereo_path), and for AVSBench-semantic ``source`` ('ss' or 'ms').

    Args:
        split: 'train', 'val' or 'test'.
        unlabelled: Keep the frames that have no mask (S4 and v1s train label only the first).
    """

    #: Index file below the data root, where ``ann_file`` names no other.
    INDEX = ""

    def __init__(
        self,
        *,
        split: str,
        unlabelled: bool = False,
        ann_file: str = "",
        **kwargs: Any,  # to AVSDataset
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split={split!r}: use one of {', '.join(SPLITS)}.")
        self.split, self.unlabelled = split, unlabelled
        super().__init__(ann_file=ann_file or self.INDEX, **kwargs)

    @abstractmethod
    def read_clips(self, root: Path) -> list[Clip]:
        """Records of the index file ``self.ann_file``, of all splits."""

    def load_data_list(self) -> list[dict[str, Any]]:
        if not Path(self.ann_file).is_file():
            raise ValueError(
                f"{self.ann_file}: there is no index file. data/README.md has the tree expected; "
                "data_root is the folder that holds the index."
            )
        clips = self.read_clips(Path(self.data_root or "."))
        entries = [
            self._frame_entry(clip, frame)
            for clip in clips
            if clip.split == self.split
            for frame in clip.frames
            if self.unlabelled or frame.seg_map_path is not None
        ]
        if not entries:
            splits = sorted({clip.split for clip in clips})
            raise ValueError(
                f"{self.ann_file}: no item of split {self.split!r}; there are {splits} among the "
                f"{len(clips)} clips of the subset asked for. Choose another split or subset."
            )
        return entries

    def _frame_entry(self, clip: Clip, frame: Frame) -> dict[str, Any]:
        source: dict[str, Any] = {} if clip.source is None else dict(source=clip.source)
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
            **source,
        )
