"""Cutting raw videos: which frame stands for a second, file names, and faults."""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soundfile
from benchmark_trees import write_csv
from clips import click_track, make_clip, moving_square
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS

from projects.cpm_avs.datasets.prepare import frames
from projects.cpm_avs.datasets.prepare.frames import frame_numbers, in_step, plan, read_video


def write_video(path: Path, *, fps: int = 8, count: int = 40, seconds: float = 5.0) -> Path:
    """Frame i is grey of level 5i; the sound is a tone of 440 Hz."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.bit_rate = 4_000_000
        audio = container.add_stream("aac", rate=44100, layout="stereo")
        for i in range(count):
            picture = np.full((48, 64, 3), 5 * i, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(44100 * seconds)) / 44100)
        for start in range(0, len(tone), 1024):
            block = np.stack([tone[start : start + 1024]] * 2).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = 44100, start, Fraction(1, 44100)
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


def cut(name: str, root: Path, *options: str) -> int:
    parser = argparse.ArgumentParser()
    frames.add_arguments(parser)
    return frames.run(parser.parse_args([name, "--root", str(root), *options]))


@pytest.mark.parametrize("fps", [8, 15, 24, 25, 30, 60])
def test_the_last_of_sixteen_samples_of_each_second(fps):
    samples = [int(second * fps + (i / 16) * fps) for second in range(5) for i in range(16)]
    assert frame_numbers(fps, 5) == samples[15::16]


def test_frames_and_sound_of_a_video(tmp_path):
    pictures, sound = read_video(write_video(tmp_path / "a.mp4"))
    assert len(pictures) == 5 and pictures[0].shape == (48, 64, 3)
    levels = [float(picture.mean()) for picture in pictures]
    np.testing.assert_allclose(levels, [35, 75, 115, 155, 195], atol=3)  # frames 7, 15, ... 39
    assert sound.dtype == np.int16 and sound.shape[1] == 2
    assert abs(len(sound) - 80000) < 1600
    spectrum = np.abs(np.fft.rfft(sound[8000:24000, 0]))
    assert spectrum.argmax() == 440  # 1 s at 16 kHz: one bin is 1 Hz


def test_a_short_video_repeats_its_last_frame(tmp_path):
    pictures, _ = read_video(write_video(tmp_path / "a.mp4", count=20))
    levels = [float(picture.mean()) for picture in pictures]
    np.testing.assert_allclose(levels, [35, 75, 95, 95, 95], atol=3)


def test_frames_of_a_phone_are_turned_upright(tmp_path):
    sound = np.zeros((1, 44100), np.float32)
    clip = make_clip(tmp_path / "portrait.mp4", frames=25, rotation=90, sound=sound)
    pictures, _ = read_video(clip)
    expected = np.rot90(moving_square(23))  # 25 a second: the last of 16 samples
    assert pictures[0].shape == (64, 48, 3)
    assert np.abs(pictures[0].astype(int) - expected).mean() < 4


def test_ms3_videos_become_a_loadable_set(tmp_path, capsys):
    write_csv(tmp_path / "ms3_meta_data.csv", ("video_id", "split"), ("v", "train"), ("w", "test"))
    write_video(tmp_path / "ms3_data/raw_videos/v.mp4")
    (tmp_path / "ms3_data/raw_videos/w.mp4").write_bytes(b"no video")
    assert cut("ms3", tmp_path) == 1
    printed = capsys.readouterr()
    assert "1 of 2 videos cut" in printed.out and "w.mp4" in printed.err
    frame = cv2.imread(str(tmp_path / "ms3_data/visual_frames/v/v.mp4_3.png"))
    assert frame.shape == (224, 224, 3) and abs(frame.mean() - 115) < 3
    info = soundfile.info(tmp_path / "ms3_data/audio_wav/train/v.wav")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 2, "PCM_16")

    init_default_scope("mmseg")
    dataset = DATASETS.build(
        dict(
            type="AVSBenchMS3Dataset",
            data_root=str(tmp_path),
            split="train",
            frames_per_clip="all",
            pipeline=[
                dict(type="LoadAVSFrame"),
                dict(type="LoadAudioWindow"),
                dict(type="PackAVSInputs"),
            ],
        )
    )
    assert len(dataset) == 5 and dataset[4]["inputs"]["waveform"].any()


def test_s4_files_lie_by_split_and_category(tmp_path):
    header = ("name", "start", "category", "split")
    write_csv(tmp_path / "s4_meta_data.csv", header, ("v", 3, "race_car", "val"))
    (job,) = plan("s4", tmp_path)
    data = tmp_path / "s4_data"
    assert job.video == data / "raw_videos/val/race_car/v.mp4"
    assert job.images[4] == data / "visual_frames/val/race_car/v/v_5.png"
    assert job.sound == data / "audio_wav/val/race_car/v.wav"


def test_frames_that_a_repaired_index_skips_are_not_cut(tmp_path):
    header = ("video_id", "split", "skip_frames")
    write_csv(tmp_path / "ms3_meta_data.csv", header, ("v", "train", "0 2"))
    write_video(tmp_path / "ms3_data/raw_videos/v.mp4")
    assert cut("ms3", tmp_path) == 0
    written = sorted((tmp_path / "ms3_data/visual_frames/v").iterdir())
    assert [path.name for path in written] == ["v.mp4_2.png", "v.mp4_4.png", "v.mp4_5.png"]
    assert abs(cv2.imread(str(written[1])).mean() - 5 * 31) < 3  # the fourth, as without


def test_what_is_there_is_left_alone_unless_told_otherwise(tmp_path, capsys):
    write_csv(tmp_path / "ms3_meta_data.csv", ("video_id", "split"), ("v", "train"))
    write_video(tmp_path / "ms3_data/raw_videos/v.mp4")
    assert cut("ms3", tmp_path) == cut("ms3", tmp_path) == 0
    assert cut("ms3", tmp_path, "--overwrite") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["1 of 1 videos cut", "0 of 0 videos cut", "1 of 1 videos cut"]


def test_a_write_that_fails_leaves_nothing_and_the_others_go_on(tmp_path, capsys, monkeypatch):
    write_csv(tmp_path / "ms3_meta_data.csv", ("video_id", "split"), ("v", "train"), ("w", "test"))
    for name in "vw":
        write_video(tmp_path / f"ms3_data/raw_videos/{name}.mp4")
    write = soundfile.write

    def fill_up(path, sound, *args, **kwargs):
        if "v.wav" in str(path):  # half of it, then the disk is full
            write(path, sound[: len(sound) // 2], *args, **kwargs)
            raise soundfile.LibsndfileError(2, "disk full")
        write(path, sound, *args, **kwargs)

    monkeypatch.setattr(soundfile, "write", fill_up)
    assert cut("ms3", tmp_path) == 1
    assert "1 of 2 videos cut" in capsys.readouterr().out
    sounds = tmp_path / "ms3_data/audio_wav"
    assert list((sounds / "train").iterdir()) == [] and (sounds / "test/w.wav").is_file()
    monkeypatch.undo()
    assert cut("ms3", tmp_path) == 0
    assert "1 of 1 videos cut" in capsys.readouterr().out
    assert abs(soundfile.info(sounds / "train/v.wav").duration - 5) < 0.1


@pytest.mark.parametrize("late", [0.0, 1.0])
def test_a_sound_that_begins_late_stays_in_step(tmp_path, late):
    sound = click_track(4.0, (2.0,))
    clip = make_clip(tmp_path / "late.mp4", frames=125, sound=sound, sound_start=late)
    _, cut_sound = read_video(clip)
    click = np.flatnonzero(np.abs(cut_sound[:, 0]) > 8000)[0] / 16000
    assert click == pytest.approx(2.0 + late, abs=0.05)


def test_a_sound_that_begins_early_is_cut():
    sound = np.arange(32000, dtype=np.int16).reshape(-1, 2)
    assert in_step(sound, -0.5)[0, 0] == 16000 and len(in_step(sound, -0.5)) == 8000
    assert np.array_equal(in_step(sound, 0.02), sound)


def test_nothing_to_cut_is_an_error_of_use(tmp_path, capsys):
    assert cut("s4", tmp_path) == 2
    assert "s4_meta_data.csv" in capsys.readouterr().err
