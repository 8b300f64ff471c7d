"""Sets whose items are frames of composed clips: objects move, and take turns to sound.

Shorthand: T frames of a clip, A channels, L samples of a window of sound.
"""

from typing import Any

import numpy as np
from mmseg.registry import DATASETS

from ...constants import SAMPLE_RATE
from ...media.audio_functional import Waveform
from .clip import TURN_SECONDS, ClipPlan, plan_clip
from .composed_dataset import ComposedDataset
from .plan import ScenePlan
from .stamps import StampsDataset


@DATASETS.register_module()
class ComposedClipFrames(ComposedDataset):
    """Every scene is a clip of ``tools/make_clip.py``'s kind, of which T frames in a row are items.

    ``ClipDataset`` makes clips of them. The same seed, split and index give the same clip, and the
    frames begin somewhere in it, so that in some of them what sounds changes. A frame hears the
    window of sound around it, moved inside at the clip's edges, as ``tools/demo.py`` gives it.

    Args:
        num_scenes: Clips; the set has T times as many items.
        num_frames: T.
        fps: Frames a second.
        clip_seconds: What is composed, of which the frames are a part.
        kwargs: Of ``ComposedDataset``.
    """

    def __init__(
        self,
        *,
        num_frames: int = 8,
        fps: float = 12.0,
        clip_seconds: float = 2 * TURN_SECONDS,
        **kwargs: Any,  # to ComposedDataset
    ) -> None:
        if num_frames < 1 or not fps > 0:
            raise ValueError(
                f"num_frames={num_frames}, fps={fps}: give at least one frame, and more than 0 a "
                "second"
            )
        self.num_frames, self.fps, self.clip_seconds = num_frames, fps, clip_seconds
        self._latest: tuple[int, ClipPlan, Waveform] | None = None
        super().__init__(**kwargs)

    def _check_library(self) -> None:
        needed = max((self.num_frames - 1) / self.fps, self.num_samples / SAMPLE_RATE)
        if not self.clip_seconds > needed:
            raise ValueError(
                f"clip_seconds={self.clip_seconds}: {self.num_frames} frames at {self.fps} a "
                f"second, and a window of {self.num_samples} samples, need more than {needed:.2f} s"
            )
        super()._check_library()

    def load_data_list(self) -> list[dict[str, Any]]:
        return [dict(scene_index=item) for item in range(self.num_scenes * self.num_frames)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        info = super().get_data_info(idx)
        clip, frame = divmod(info["scene_index"], self.num_frames)
        config = self.scene_config
        name = f"{self.scene_name}-clips-{config.subset}-{config.split}-{config.seed}/{clip:05d}"
        return info | dict(
            img_path=f"{name}_{frame}.png",
            audio_path=f"{name}.wav",
            clip_id=name,
            frame_index=frame,
        )

    def plan(self, scene_index: int) -> ScenePlan:
        """What is in a frame; items are numbered clip by clip."""
        return self._clip_of(scene_index)[0].at(self.time(scene_index))

    def time(self, item: int) -> float:
        """When an item's frame is shown in its clip, s."""
        clip, frame = divmod(item, self.num_frames)
        seed = self._clip_of(item)[0].scene.background_seed
        last = self.clip_seconds - (self.num_frames - 1) / self.fps
        return np.random.default_rng((*seed, 4)).uniform(0, last) + frame / self.fps

    def sound(self, scene_index: int, plan: ScenePlan) -> Waveform:
        """The window around a frame, (A, L)."""
        waveform = self._clip_of(scene_index)[1]
        begin = round(self.time(scene_index) * SAMPLE_RATE) - self.num_samples // 2
        begin = min(max(begin, 0), waveform.shape[1] - self.num_samples)
        return waveform[:, begin : begin + self.num_samples]

    def _clip_of(self, item: int) -> tuple[ClipPlan, Waveform]:
        """The clip of an item; the latest one is kept, for its other frames."""
        number = item // self.num_frames
        if self._latest is None or self._latest[0] != number:
            plan = plan_clip(self, number, seconds=self.clip_seconds)
            end = round(self.clip_seconds * SAMPLE_RATE)
            sound = plan.sound(self)[:, :end]
            self._latest = (number, plan, sound)
        return self._latest[1:]


@DATASETS.register_module()
class StampsClipFrames(ComposedClipFrames, StampsDataset):
    """The same of the built-in data; arguments of both."""
