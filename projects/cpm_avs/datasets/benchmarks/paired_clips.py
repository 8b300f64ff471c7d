"""The base of benchmarks in which AVSBench-Robust says whose sound a clip hears off-screen."""

from abc import abstractmethod
from collections import defaultdict
from functools import cached_property
from pathlib import Path

from ...errors import UserError
from .benchmark_dataset import BenchmarkDataset
from .clip_index import Clip


class PairedClipsDataset(BenchmarkDataset):
    """Under ``audio_condition='offscreen'`` a frame hears the same second of the clip paired."""

    @abstractmethod
    def pair_clips(self, clips: list[Clip]) -> dict[str, str]:
        """Name of each clip -> name of the clip that it hears."""

    def offscreen_donor(self, idx: int) -> int:
        """The frame at the same second, or the nearest, of the clip that it is paired with."""
        info = self.get_data_info(idx)
        self.known_classes(info)  # refused where nothing is known of the clip
        frames = self._frames_of_clip.get(self._pairs.get(info["clip_id"], ""))
        if frames is None:
            raise UserError(
                f"audio_condition='offscreen': no sound is foreign to the clip {info['clip_id']} "
                f"({', '.join(info['classes'])}). The split {self.split!r} needs clips of other "
                "categories."
            )
        return min(frames, key=lambda item: abs(frames[item] - info["frame_index"]))

    @cached_property
    def _pairs(self) -> dict[str, str]:
        return self.pair_clips(self.read_clips(Path(self.data_root or ".")))

    @cached_property
    def _frames_of_clip(self) -> dict[str, dict[int, int]]:
        """Clip -> its items -> the number of their frame."""
        items: dict[str, dict[int, int]] = defaultdict(dict)
        for info in map(self.get_data_info, range(len(self))):
            items[info["clip_id"]][info["sample_idx"]] = info["frame_index"]
        return dict(items)
