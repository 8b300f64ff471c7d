"""Videos as devices and programs really write them: clocks, joints, mirrors, pixels, colours."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import click_track, make_clip, moving_square

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media.sound_io import load_waveform, read_sound
from projects.cpm_avs.media.video_io import probe, read_frames


def times(path: Path, **wanted) -> list[float]:
    return [round(frame.time, 3) for frame in read_frames(path, **wanted)]


def clicks(path: Path, **wanted) -> list[float]:
    """Seconds at which bursts begin."""
    heard = np.concatenate([*read_sound(path, sample_rate=16000, channels=1, **wanted)], axis=1)
    loud = np.flatnonzero(np.abs(heard[0]) > 0.2) / 16000
    return loud[np.flatnonzero(np.diff(loud, prepend=-1) > 0.2)].tolist()


def is_square(image: np.ndarray, index: int) -> bool:
    return np.abs(image.astype(int) - moving_square(index)).mean() < 4


class TestClock:
    @pytest.mark.parametrize("suffix", ["ts", "m2ts", "mpg", "vob", "mp4", "mkv", "avi", "flv"])
    @pytest.mark.parametrize("start", [0.4, 2.6])
    def test_start_amid_a_group_of_pictures(self, tmp_path, suffix, start):
        path = make_clip(tmp_path / f"a.{suffix}", frames=100, group=40, sound=click_track(4, (3,)))
        info = probe(path)
        frames = [*read_frames(path, origin=info.origin, start=start, end=start + 0.4)]
        expected = [k / 25 for k in range(100) if start - 1e-3 <= k / 25 < start + 0.4 - 1e-3]
        assert [frame.time for frame in frames] == pytest.approx(expected, abs=2e-3)
        assert is_square(frames[0].image, round(start * 25))
        early = 0.07 if suffix == "avi" else 0.03  # an AVI says nothing of its B-frames' delay
        assert clicks(path, origin=info.origin, start=2.5) == pytest.approx([0.5], abs=early)

    @pytest.mark.parametrize("suffix, count", [("ts", 3), ("mkv", 2)])
    def test_joined_recordings_go_on(self, tmp_path, suffix, count):
        """`cat a.ts b.ts`: the clock begins anew, sound and picture stay together."""
        part = make_clip(tmp_path / f"a.{suffix}", frames=50, sound=click_track(2, (1,)))
        path = tmp_path / f"joined.{suffix}"
        path.write_bytes(part.read_bytes() * count)
        info = probe(path)
        assert info.frames == 50 * count and info.duration == pytest.approx(2 * count, abs=0.1)
        seen = times(path)
        steps = np.diff(seen)
        assert steps == pytest.approx([0.04] * (50 * count - 1), abs=0.05) and steps.min() > 0
        assert clicks(path, origin=info.origin, end=info.duration) == pytest.approx(
            [1, 3, 5][:count],
            abs=0.12,  # AAC ends a part some hundredths later
        )
        late = [*read_frames(path, origin=info.origin, start=2 * count - 1.5)]
        assert late[0].time == pytest.approx(2 * count - 1.5, abs=0.05)
        assert len(late) == pytest.approx(38, abs=2)

    @pytest.mark.parametrize(
        ("suffix", "count", "read", "told"),
        [
            ("mp4", 2, 1, "2 recordings are .* the first alone is read"),
            ("flv", 2, 1, "2 recordings are .* the first alone is read"),
            ("wmv", 3, 1, "3 recordings are .* the first alone is read"),
            ("mkv", 3, 2, "3 recordings are .* the first 2 alone are read"),
        ],
    )
    def test_what_is_not_read_of_joined_recordings_is_told(
        self, tmp_path, suffix, count, read, told
    ):
        """FFmpeg, as players do, passes over the rest; training refuses such a sound."""
        part = make_clip(tmp_path / f"a.{suffix}", frames=25, sound=click_track(1, (0.5,)))
        load_waveform(part)
        path = tmp_path / f"joined.{suffix}"
        path.write_bytes(part.read_bytes() * count)
        with pytest.warns(UserWarning, match=rf"joined\.{suffix}: {told}; .*ffmpeg -f concat"):
            info = probe(path)
        assert info.frames == 25 * read
        heard = sum(one.shape[1] for one in read_sound(path, sample_rate=16000, channels=1))
        assert heard / 16000 == pytest.approx(read, abs=0.1)
        with pytest.raises(BadSampleError, match=rf"joined\.{suffix}: {told}"):
            load_waveform(path)

    @pytest.mark.parametrize("begin", [95441.7, 95400.0])  # a clock of 33 bits ends at 95443.7
    def test_a_clock_that_ends(self, tmp_path, begin):
        """FFmpeg counts from the end of the clock where it is near: times are below zero."""
        moments = [begin + k / 25 for k in range(100)]
        path = make_clip(
            tmp_path / "a.ts", frames=100, times=moments, group=25, sound=click_track(4, (3,)),
            sound_start=begin,
        )  # fmt: skip
        info = probe(path)
        assert info.frames == 100 and info.duration == pytest.approx(4, abs=1e-3)
        assert info.rate == pytest.approx(25) and info.origin < 0
        assert clicks(path, origin=info.origin, end=info.duration) == pytest.approx([3], abs=0.03)
        assert times(path, origin=info.origin, start=2)[0] == pytest.approx(2, abs=1e-3)

    def test_a_jump_ahead_is_a_joint_too(self, tmp_path):
        early = make_clip(tmp_path / "a.ts", frames=25, sound=click_track(1, (0.5,)))
        hours = [7200 + k / 25 for k in range(25)]
        late = make_clip(
            tmp_path / "b.ts", frames=25, times=hours, sound=click_track(1, (0.5,)),
            sound_start=7200,
        )  # fmt: skip
        path = tmp_path / "jump.ts"
        path.write_bytes(early.read_bytes() + late.read_bytes())
        info = probe(path)
        assert info.duration == pytest.approx(2, abs=0.1)
        heard = clicks(path, origin=info.origin, end=info.duration)
        assert heard == pytest.approx([0.5, 1.5], abs=0.08)

    def test_a_long_pause_of_a_slide_show_is_none(self, tmp_path):
        path = make_clip(
            tmp_path / "slides.ts", frames=3, times=[0.0, 1.0, 14.0], sound=click_track(14, (13.5,))
        )
        assert times(path) == pytest.approx([0, 1, 14], abs=1e-3)

    def test_a_recording_that_begins_amid_a_group(self, tmp_path):
        """The clip begins with the first picture that can be decoded, and so does its sound."""
        whole = make_clip(
            tmp_path / "a.ts", frames=100, group=30, size=(160, 120), sound=click_track(4, (3.2,))
        )
        content = whole.read_bytes()
        path = tmp_path / "b.ts"
        path.write_bytes(content[len(content) * 3 // 20 // 188 * 188 :])
        info, frames = probe(path), [*read_frames(path)]
        missing = 100 - len(frames)
        assert 0 < missing <= 60 and info.frames == len(frames)
        assert info.duration == pytest.approx(len(frames) / 25, abs=1e-3)
        heard = clicks(path, origin=info.origin, end=info.duration)
        assert heard == pytest.approx([3.2 - missing / 25], abs=0.03)

    def test_sound_before_the_picture(self, tmp_path):
        path = make_clip(
            tmp_path / "a.mkv", frames=25, times=[1 + k / 25 for k in range(25)],
            sound=click_track(2, (0.5, 1.5)),
        )  # fmt: skip
        info = probe(path)
        assert info.duration == pytest.approx(1, abs=1e-3)
        heard = clicks(path, origin=info.origin, end=info.duration)
        assert heard == pytest.approx([0.5], abs=0.03)


MATRICES = {
    "as it is": ((1, 0, 0, 1), lambda image: image),
    "mirrored": ((-1, 0, 0, 1), lambda image: image[:, ::-1]),
    "upside down": ((1, 0, 0, -1), lambda image: image[::-1]),
    "half a turn": ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
    "counter-clockwise": ((0, -1, 1, 0), lambda image: np.rot90(image)),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
    "transposed the other way": (
        (0, -1, -1, 0),
        lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    ),
}


@pytest.mark.parametrize("name", MATRICES)
def test_display_matrix(tmp_path, name):
    matrix, shown = MATRICES[name]
    path = make_clip(tmp_path / "a.mp4", frames=1, matrix=matrix)
    image, expected = next(read_frames(path)).image, shown(moving_square(0))
    assert image.shape == expected.shape
    assert np.abs(image.astype(int) - expected).mean() < 4


@pytest.mark.parametrize(
    "aspect, size",
    [
        (Fraction(16, 9), (114, 48)), (Fraction(1, 2), (64, 96)), (Fraction(1), (64, 48)),
        (Fraction(0), (64, 48)), (Fraction(200), (64, 48)),
    ],
)  # fmt: skip
def test_pixels_become_square(tmp_path, aspect, size):
    path = make_clip(tmp_path / "a.mp4", frames=2, aspect=aspect)
    info, image = probe(path), next(read_frames(path)).image
    assert (info.width, info.height) == image.shape[1::-1] == size
    np.testing.assert_allclose(image[2, size[0] // 8], (0, 0, 255), atol=25)


def test_wide_pixels_of_a_turned_picture(tmp_path):
    path = make_clip(tmp_path / "a.mp4", frames=1, aspect=Fraction(2), rotation=90)
    assert next(read_frames(path)).image.shape == (128, 48, 3)
