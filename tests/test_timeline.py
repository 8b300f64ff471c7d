"""Stretches of time out of frames: pauses, flicker and slips."""

import numpy as np

from projects.cpm_avs.inference.results import FrameResult
from projects.cpm_avs.inference.timeline import Timeline


class TestTimeline:
    @staticmethod
    def run(labels: list[int], step: float = 0.1) -> list[tuple[int, float, float]]:
        timeline = Timeline(len(labels) * step)
        for index, label in enumerate(labels):
            class_map = np.full((4, 4), label, np.uint8)
            scores = {label: 0.5} if label else {}
            # Predicted for the middle of the time for which it is shown.
            frame = FrameResult((index + 0.5) * step, class_map, scores, ("", "a", "b"))
            timeline.add(frame, index * step)
        found = timeline.finish(len(labels) * step)
        return [(one.label, round(one.start, 3), round(one.end, 3)) for one in found]

    def test_stretches(self):
        assert self.run([0] * 5 + [1] * 10 + [2] * 5) == [(1, 0.5, 1.5), (2, 1.5, 2.0)]

    def test_short_pause_is_bridged_and_a_long_one_not(self):
        assert self.run([1] * 5 + [0] * 4 + [1] * 5) == [(1, 0.0, 1.4)]
        assert self.run([1] * 5 + [0] * 7 + [1] * 5) == [(1, 0.0, 0.5), (1, 1.2, 1.7)]

    def test_flicker(self):
        # Lost for one frame at a time: one stretch. There for one frame at a time: none.
        assert self.run([1, 1, 1, 0, 1, 1, 0, 1] * 3) == [(1, 0.0, 2.4)]
        blips = [1, 0, 0, 0] * 3
        assert self.run([1] * 8 + [0] * 4 + blips + [1] * 8) == [(1, 0.0, 0.8), (1, 2.4, 3.2)]

    def test_slip_is_left_out_but_not_a_one_frame_clip(self):
        assert self.run([0] * 10 + [1] + [0] * 20) == []
        assert self.run([1]) == [(1, 0.0, 0.1)]
