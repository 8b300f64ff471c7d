"""AVSBench-Robust's protocol: what is segmented where nothing sounds, and G over all sounds."""

import json
from pathlib import Path

import pytest
from metric_frames import make_frame, score
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import PixelData
from toy_avs import PIPELINE, ToySet, write_toy_files
from typed_tools import tool

import projects.cpm_avs  # noqa: F401  (registers the loop)
from projects.cpm_avs.evaluation.robustness_scores import (
    global_rate,
    global_score,
    harmonic_mean,
    robustness_table,
    sum_up,
)

# ---- what is false


def frames(**meta):
    return [
        make_frame([[1, 2], [0, 0]], [[1, 0], [0, 255]], **meta),
        make_frame([[0, 0], [0, 0]], [[1, 1], [1, 1]], **meta),
        make_frame([[0, 0], [0, 3]], [[1, 1], [1, 255]], **meta),  # false on ignored only
    ]


def rates(samples, **metric):
    return score(samples, 4, type="RobustnessMetric", **metric)


def test_with_another_sound_all_objects_are_false():
    assert rates(frames(audio_condition="silence")) == {
        "robustness/silence/pixel_FPR": pytest.approx(100 * 2 / 10),
        "robustness/silence/frame_FPR": pytest.approx(100 / 3),
    }


def test_with_the_right_sound_objects_on_background_are_false():
    """2 of its pixels are background, one of them segmented; no frame is without an object."""
    assert rates(frames()) == {
        "robustness/normal/pixel_FPR": pytest.approx(100 / 2),
        "robustness/normal/segmented": pytest.approx(100 * 2 / 10),
    }
    silent = [make_frame([[0, 0], [0, n]], [[0, 0], [0, 0]]) for n in (0, 0, 0, 2)]
    assert rates([*frames(), *silent]) == {
        "robustness/normal/pixel_FPR": pytest.approx(100 * 2 / 18),
        "robustness/normal/frame_FPR": pytest.approx(25),
        "robustness/normal/segmented": pytest.approx(100 * 3 / 26),
    }


def test_small_objects_can_be_let_pass():
    heard = frames(audio_condition="noise")
    assert rates(heard, min_pixels=2)["robustness/noise/frame_FPR"] > 0
    assert rates(heard, min_pixels=3)["robustness/noise/frame_FPR"] == 0
    with pytest.raises(ValueError, match="min_pixels=0"):
        rates(heard, min_pixels=0)


# ---- G


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (86.2, 86.2, 23.7912),  # deaf: 2 * 86.2 * 13.8 / 100
        (60, 20, 68.5714),  # 2 * 60 * 80 / 140
        (60, 0, 75),
        (100, 0, 100),
        (80, 100, 0),
        (0, 100, 0),
    ],
)
def test_g_of_a_score(right, wrong, expected):
    assert global_score(right, wrong) == pytest.approx(expected, abs=1e-4)


def test_g_of_a_rate():
    assert harmonic_mean(90, 60) == pytest.approx(72)  # 10800 / 150
    assert global_rate(10, 40) == pytest.approx(28)
    assert global_rate(0, 0) == 0 and global_rate(0, 100) == 100


WRONG = dict(silence=10.0, noise=20.0, offscreen=30.0)
SCORES = {
    sound: {
        "dataset/mIoU": value,
        "dataset/aAcc": 5.0,
        "avsbench/F_batch1": value / 2,
        "ss/dataset/mIoU": 1.0,
        f"robustness/{sound}/pixel_FPR": value,
        **({f"robustness/{sound}/frame_FPR": 2 * value} if sound != "normal" else {}),
    }
    for sound, value in dict(normal=60.0, **WRONG).items()
}


def test_all_scores_have_names_of_their_own():
    summed = sum_up(SCORES)
    assert summed["dataset/mIoU"] == 60 and summed["noise/dataset/mIoU"] == 20
    assert summed["offscreen/ss/dataset/mIoU"] == 1
    assert summed["robustness/silence/pixel_FPR"] == 10
    assert {key: value for key, value in summed.items() if "G-" in key} == {
        "robustness/dataset/G-mIoU": pytest.approx(68.5714, abs=1e-4),  # H(60, 80)
        "robustness/avsbench/G-F_batch1": pytest.approx(45, abs=1e-4),  # H(30, 90)
        "robustness/G-FPR": pytest.approx(46.6667, abs=1e-4),  # 100 - H(40, 80)
    }


def test_what_the_evaluator_lacks_has_no_g():
    bare = {sound: dict(mIoU=scores["dataset/mIoU"]) for sound, scores in SCORES.items()}
    assert sum_up(bare) == {"mIoU": 60} | {f"{sound}/mIoU": v for sound, v in WRONG.items()}
    assert "G" in robustness_table(bare)


def test_one_table_has_all_sounds():
    table = robustness_table(SCORES).splitlines()
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if "|" in line]
    assert lines == [
        ["sound", "dataset/mIoU", "avsbench/F_batch1", "pixel_FPR", "frame_FPR"],
        ["normal", "60.00", "30.00", "60.00", "-"],
        ["silence", "10.00", "5.00", "10.00", "20.00"],
        ["noise", "20.00", "10.00", "20.00", "40.00"],
        ["offscreen", "30.00", "15.00", "30.00", "60.00"],
        ["mean of the three", "20.00", "10.00", "20.00", "40.00"],
        ["G", "68.57", "45.00", "46.67", "-"],
    ]


# ---- the test


class HalfDeaf(BaseModel):
    """Segments what the original mask has, whatever it hears, and nothing in silence."""

    def forward(self, inputs, data_samples, mode):
        for waveform, sample in zip(inputs["waveform"], data_samples, strict=True):
            label = sample.gt_sem_seg.data
            sample.pred_sem_seg = PixelData(data=label * int(waveform.abs().max() > 0))
        return data_samples


@pytest.mark.parametrize("num_workers", [0, 1])
def test_one_run_tests_all_sounds(tmp_path: Path, num_workers: int):
    """A square of 192 of 768 px a frame. Heard or not, the answer is right: 100. In silence the
    background alone is right, 75 of (75, 0, 0, 0)."""
    write_toy_files(tmp_path)
    init_default_scope("mmseg")
    runner = Runner(
        model=HalfDeaf(),
        work_dir=str(tmp_path / "run"),
        test_dataloader=dict(
            batch_size=4,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            dataset=dict(type=ToySet, root=tmp_path, pipeline=PIPELINE, test_mode=True),
        ),
        test_cfg=dict(type="RobustnessLoop"),
        test_evaluator=[dict(type="AVSMetric"), dict(type="RobustnessMetric")],
        experiment_name=f"all-sounds-{num_workers}",
        default_scope="mmseg",
    )
    metrics = runner.test()
    assert metrics["dataset/mIoU"] == 100 and metrics["silence/dataset/mIoU"] == 18.75
    assert metrics["noise/dataset/mIoU"] == metrics["offscreen/dataset/mIoU"] == 100
    assert metrics["robustness/silence/frame_FPR"] == 0
    assert metrics["robustness/offscreen/frame_FPR"] == 100
    assert metrics["robustness/noise/pixel_FPR"] == 25
    # H(100, 100 - 218.75 / 3) and 100 - H(100, 100 - 50 / 3)
    assert metrics["robustness/dataset/G-mIoU"] == pytest.approx(42.62295, abs=1e-5)
    assert metrics["robustness/G-FPR"] == pytest.approx(9.09091, abs=1e-5)

    report = json.loads(Path(runner.log_dir, "metrics.json").read_text())
    assert report["audio"] == ["normal"] and report["robustness"] == metrics
    written = json.loads(Path(runner.log_dir, f"{runner.timestamp}.json").read_text())
    assert written.items() >= metrics.items()


def test_the_tool_asks_for_all_sounds():
    cfg = Config(
        dict(
            test_dataloader=dict(dataset=dict(type="T")),
            test_cfg=dict(type="TestLoop", fp16=True),
            test_evaluator=dict(type="AVSMetric"),
        )
    )
    tool("test").replace_sound(cfg, "all")
    assert cfg.test_cfg == dict(type="RobustnessLoop", fp16=True)
    assert cfg.test_dataloader.dataset == dict(type="T")
    assert [metric.type for metric in cfg.test_evaluator] == ["AVSMetric", "RobustnessMetric"]


def test_masks_are_of_one_sound(capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit):
        tool("test").parse_args(["c.py", "w.pth", "--audio", "all", "--out", "masks"])
    assert "are for one sound" in capsys.readouterr().err
