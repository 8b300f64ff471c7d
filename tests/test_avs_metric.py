"""AVSMetric: both protocols by hand, any batches and ranks alike, subsets, reports; robustness."""

import json
import logging
import tracemalloc

import numpy as np
import pytest
import torch
from metric_frames import (
    make_frame,
    object_frame,
    random_frames,
    score,
    score_as_rank,
)
from mmengine.evaluator import Evaluator
from mmengine.hooks import CheckpointHook
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from mmseg.registry import METRICS

from projects.cpm_avs.evaluation import streaming
from projects.cpm_avs.evaluation.streaming import from_fixed, to_fixed

FRAME1 = make_frame([[0, 1], [1, 2]], [[0, 0], [1, 1]], clip_id="a", frame_index=0)
FRAME2 = make_frame([[0, 0], [0, 0]], [[0, 0], [0, 0]], clip_id="a", frame_index=1)

F1 = object_frame([[0.9, 0.4], [0.6, 0.1]], [[1, 1], [0, 0]], clip_id="a", frame_index=0)
F2 = object_frame([[0.3, 0.8], [0.1, 0.1]], [[1, 0], [0, 0]], clip_id="b", frame_index=0)
SILENT = object_frame([[0.9, 0.2], [0.2, 0.2]], [[0, 0], [0, 0]], clip_id="b", frame_index=1)


@pytest.fixture
def messages(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO, logger=logger.name):
        yield caplog
    logger.removeHandler(caplog.handler)


class TestDatasetProtocol:
    @pytest.mark.parametrize(("num_classes", "miou"), [(3, 38.8889), (4, 29.1667)])
    def test_hand_computed(self, num_classes, miou):
        scores = score([FRAME1, FRAME2], num_classes)
        assert scores["dataset/mIoU"] == pytest.approx(miou, abs=1e-4)
        assert scores["dataset/F"] == pytest.approx(48.5294, abs=1e-4)
        assert scores["dataset/F1"] == pytest.approx(46.9697, abs=1e-4)
        assert scores["dataset/FDR"] == pytest.approx(50)

    def test_agrees_with_mmseg_on_the_same_predictions(self):
        """mmseg leaves out absent classes, so its mean is the higher one."""
        evaluator = Evaluator(
            [METRICS.build(dict(type="AVSMetric")), IoUMetric(iou_metrics=["mIoU", "mFscore"])]
        )
        evaluator.dataset_meta = dict(classes=tuple("abcd"))
        frames = random_frames(6, 3)
        evaluator.process(frames)
        scores = evaluator.evaluate(len(frames))
        assert scores["dataset/mIoU"] == pytest.approx(scores["mIoU"] * 3 / 4, abs=0.01)
        assert scores["dataset/F1"] == pytest.approx(scores["mFscore"], abs=0.01)
        assert scores["dataset/aAcc"] == pytest.approx(scores["aAcc"], abs=0.01)


class TestSemanticAVSBench:
    @pytest.mark.parametrize(
        ("frames", "num_classes", "expected"),
        [
            ([FRAME1], 3, (27.7778, 43.75)),
            ([FRAME1, FRAME2], 3, (36.1111, 46.8750)),
            ([FRAME1, FRAME2], 4, (27.0833, 35.1563)),
        ],
    )
    def test_hand_computed(self, frames, num_classes, expected):
        scores = score(frames, num_classes)
        assert scores["avsbench/J"] == pytest.approx(expected[0], abs=1e-4)
        assert scores["avsbench/F"] == pytest.approx(expected[1], abs=1e-4)
        assert scores["avsbench/J&F"] == pytest.approx(sum(expected) / 2, abs=1e-4)

    def test_equals_nested_loops(self):
        frames, num_classes = random_frames(7, 5), 6
        ious, fs = [[] for _ in range(num_classes)], [[] for _ in range(num_classes)]
        for frame in frames:
            pred, label = frame.pred_sem_seg.data[0], frame.gt_sem_seg.data[0]
            for c in range(num_classes):
                pixels = [
                    (int(p == c), int(g == c))
                    for p, g in zip(pred.flatten(), label.flatten(), strict=True)
                    if g != 255
                ]
                inter = sum(p * g for p, g in pixels)
                area_p, area_g = sum(p for p, _ in pixels), sum(g for _, g in pixels)
                if area_p + area_g == 0:
                    continue
                ious[c].append(inter / (area_p + area_g - inter))
                precision = inter / area_p if area_p else 0
                recall = inter / area_g if area_g else 0
                both = 0.3 * precision + recall
                fs[c].append(1.3 * precision * recall / both if both else 0)
        scores = score(frames, num_classes)
        for key, values in (("J", ious), ("F", fs)):
            expected = np.mean([np.mean(v) if v else 0 for v in values])
            assert scores[f"avsbench/{key}"] == pytest.approx(100 * expected, abs=1e-10)


class TestBinaryAVSBench:
    def test_jaccard_by_hand(self):
        half = object_frame([[0.6, 0.5], [0.1, 0.1]], [[1, 1], [0, 0]], clip_id="a")
        assert score([half], 2)["avsbench/J"] == pytest.approx(50, abs=1e-4)
        assert score([half, SILENT], 2)["avsbench/J"] == pytest.approx(62.5, abs=1e-4)

    def test_f_has_one_threshold_for_the_set(self):
        assert score([F1], 2)["avsbench/F"] == pytest.approx(81.25, abs=1e-4)
        assert score([F2], 2)["avsbench/F"] == pytest.approx(56.5217, abs=1e-4)
        assert score([F1, F2], 2)["avsbench/F"] == pytest.approx(64.3720, abs=1e-4)

    def test_silent_frames_leave_f_alone(self):
        with_silence = score([F1, F2, SILENT], 2)
        assert with_silence["avsbench/F"] == score([F1, F2], 2)["avsbench/F"]
        assert score([SILENT], 2)["avsbench/F"] == 0

    @pytest.mark.parametrize(("clips", "expected"), [(1, 68.8859), (2, 64.3720), (4, 64.3720)])
    def test_legacy_batches(self, clips, expected):
        scores = score([F1, F2, SILENT], 2, legacy_batch=clips)
        assert scores[f"avsbench/F_batch{clips}"] == pytest.approx(expected, abs=1e-4)

    def test_legacy_average_counts_a_short_last_batch_as_much(self):
        frames = random_frames(15, 2)  # three clips
        batches = [score(frames[:10], 2), score(frames[10:], 2)]
        scores = score(frames, 2, legacy_batch=2)
        for name in "JF":
            expected = np.mean([batch[f"avsbench/{name}"] for batch in batches])
            assert scores[f"avsbench/{name}_batch2"] == pytest.approx(expected, abs=1e-9)

    def test_all_ignored_frame_counts_nowhere(self):
        ignored = object_frame([[0.9, 0.9], [0.9, 0.9]], [[255, 255], [255, 255]], clip_id="a")
        with_it, without = score([F1, ignored, F2], 2), score([F1, F2], 2)
        assert with_it == without


def reference(count: int, num_classes: int, **metric) -> dict[str, float]:
    return score(random_frames(count, num_classes), num_classes, 1, **metric)


class TestAnyBatchesAndRanks:
    JOBS = [
        (count, num_classes, batch_size, metric)
        for count in (13, 1)
        for num_classes, metric in ((4, {}), (2, dict(legacy_batch=2)))
        for batch_size in (1, 4, 7)
    ]

    @pytest.mark.parametrize("batch_size", [4, 7])
    @pytest.mark.parametrize("num_classes", [2, 4])
    def test_batches(self, batch_size, num_classes):
        frames = random_frames(13, num_classes)
        assert score(frames, num_classes, batch_size) == score(frames, num_classes, 1)

    def test_two_ranks_with_a_padded_sampler(self, tmp_path):
        """13 items on 2 ranks: the sampler repeats item 0; 1 item: rank 1 has the repeat only."""
        torch.multiprocessing.start_processes(
            score_as_rank, (2, str(tmp_path), self.JOBS), nprocs=2, start_method="fork"
        )
        on_rank0, on_rank1 = (
            json.loads((tmp_path / f"rank{rank}_of_2.json").read_text()) for rank in range(2)
        )
        assert on_rank0 == on_rank1
        for (count, num_classes, _, metric), scores in zip(self.JOBS, on_rank0, strict=True):
            expected = reference(count, num_classes, **metric)
            assert scores.keys() == expected.keys()
            for name, value in expected.items():
                assert scores[name] == pytest.approx(value, abs=1e-12), name

    def test_positions_follow_the_sampler(self, monkeypatch):
        positions = []
        metric = METRICS.build(dict(type="AVSMetric"))
        metric.measure = lambda sample, position: positions.append(position) or {}
        monkeypatch.setattr(streaming, "get_dist_info", lambda: (1, 3))
        metric.process({}, [{}, {}])
        metric.process({}, [{}])
        assert positions == [1, 4, 7]

    def test_memory_does_not_grow_with_the_frames(self):
        metric = METRICS.build(dict(type="AVSMetric"))
        metric.dataset_meta = dict(classes=tuple("abcd"))
        frames = [frame.to_dict() for frame in random_frames(40, 4)]
        metric.process({}, frames)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(10):
            metric.process({}, frames)
        grown = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert grown < 20_000

    def test_evaluations_do_not_leak_into_each_other(self):
        metric = METRICS.build(dict(type="AVSMetric"))
        evaluator = Evaluator(metric)
        evaluator.dataset_meta = dict(classes=tuple("abc"))
        for frames in ([FRAME1], [FRAME2]):
            evaluator.process(frames)
            scores = evaluator.evaluate(1)
        assert scores["dataset/aAcc"] == 100

    @pytest.mark.parametrize("size", [2, 5])
    def test_another_number_of_items_is_refused(self, size):
        evaluator = Evaluator(METRICS.build(dict(type="AVSMetric")))
        evaluator.dataset_meta = dict(classes=tuple("abc"))
        evaluator.process([FRAME1] * 4)
        with pytest.raises(ValueError, match=f"scored 4 of {size} items"):
            evaluator.evaluate(size)

    def test_fixed_point_sums_are_exact_in_any_order(self):
        values = torch.rand(1000, dtype=torch.float64).numpy()
        words = np.stack([to_fixed(v) for v in values])
        assert float(from_fixed(words.sum(0))) == float(from_fixed(words[::-1].sum(0)))
        assert float(from_fixed(words.sum(0))) == pytest.approx(values.sum(), abs=1e-12)
        assert float(from_fixed(to_fixed(1.0))) == 1.0


class TestSubsets:
    def test_subsets_equal_runs_of_their_own(self):
        frames = random_frames(20, 4)
        scores = score(frames, 4)
        for source in ("ss", "ms"):
            alone = score([f for f in frames if f.source == source], 4, group_by=())
            for name, value in alone.items():
                assert scores[f"{source}/{name}"] == pytest.approx(value, abs=1e-12)
        assert scores["dataset/mIoU"] == score(frames, 4, group_by=())["dataset/mIoU"]

    def test_warns_about_other_counts_of_clips(self, messages):
        frames = random_frames(15, 4)  # clips 0 and 2 are ss, 1 is ms
        score(frames, 4, expected_clips=dict(ss=2, ms=1))
        assert "published" not in messages.text
        score(frames, 4, expected_clips=dict(ss=1278, ms=276))
        assert "Subset ss has 2 clips, the published one 1278" in messages.text
        assert "Subset ms has 1 clips, the published one 276" in messages.text

    def test_clips_are_counted_without_their_first_frames(self, messages):
        frames = [frame for frame in random_frames(15, 4) if frame.frame_index > 1]
        for shuffled in (frames, frames[::2] + frames[1::2]):
            score(shuffled, 4, batch_size=2, expected_clips=dict(total=3, ss=2, ms=1))
        assert "published" not in messages.text

    def test_group_by_names_keys_of_the_samples(self):
        with pytest.raises(ValueError, match=r"write \('source',\)"):
            METRICS.build(dict(type="AVSMetric", group_by="source"))
        told = (
            "'sorce', which the sample frame.jpg lacks; it has clip_id, frame_index, img_path, so"
        )
        with pytest.raises(ValueError, match=told):
            score(random_frames(2, 3), 3, group_by=("source", "sorce"))
        assert "0/dataset/mIoU" in score([FRAME1, FRAME2], 3, group_by=("source", "frame_index"))


class TestReports:
    def test_every_line_names_protocol_and_subset(self, messages):
        score(random_frames(10, 3), 3)
        lines = [line for line in messages.text.splitlines() if line.startswith("| ")]
        cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
        rows = [row for row in cells if row[0] != "protocol"]
        summary = [row[:4] for row in rows if not row[2].startswith("class")]
        assert summary == [
            ["dataset", "total", "10", "2"],
            ["avsbench", "total", "10", "2"],
            ["dataset", "ms", "5", "1"],
            ["avsbench", "ms", "5", "1"],
            ["dataset", "ss", "5", "1"],
            ["avsbench", "ss", "5", "1"],
        ]
        classes = [row[:3] for row in rows if row[2].startswith("class")]
        expected = [[p, "total", f"class{i}"] for p in ("dataset", "avsbench") for i in range(3)]
        assert classes == expected

    def test_json(self, tmp_path):
        path = tmp_path / "deep" / "metrics.json"
        scores = score([FRAME1, FRAME2], 4, json_path=str(path))
        report = json.loads(path.read_text())
        assert report["audio"] == ["normal"]
        dataset, avsbench = report["results"]
        assert (dataset["protocol"], dataset["subset"]) == ("dataset", "total")
        assert dataset["scores"]["mIoU"] == scores["dataset/mIoU"]
        assert dataset["per_class"]["class1"]["IoU"] == pytest.approx(100 / 3)
        assert avsbench["per_class"]["class0"]["IoU"] == pytest.approx(75)
        assert dataset["per_class"]["class3"] == dict(IoU=None, F=None)

    def test_json_lies_beside_the_log(self, tmp_path, monkeypatch):
        logger = MMLogger.get_current_instance()
        monkeypatch.setattr(logger, "_log_file", str(tmp_path / "run.log"))
        score([FRAME1], 3)
        assert (tmp_path / "metrics.json").exists()

    def test_the_sound_is_named(self, messages, tmp_path):
        silent = make_frame([[0, 1]], [[0, 1]], audio_condition="silence")
        score([silent], 3, json_path=str(tmp_path / "m.json"))
        assert "audio: silence" in messages.text
        assert json.loads((tmp_path / "m.json").read_text())["audio"] == ["silence"]

    def test_keys_pick_the_best_checkpoint(self):
        hook = CheckpointHook(save_best="dataset/mIoU")
        assert hook.rules == ["greater"]
        assert "dataset/mIoU" in score([FRAME1], 3)


class TestErrors:
    @pytest.mark.parametrize(
        ("metric", "message"),
        [
            (dict(protocols=("voc",)), "must be taken from"),
            (dict(protocols=()), "must be taken from"),
            (dict(legacy_batch=0), "legacy_batch=0"),
            (dict(legacy_batch=1, protocols=("dataset",)), "legacy_batch=1"),
        ],
    )
    def test_bad_options(self, metric, message):
        with pytest.raises(ValueError, match=message):
            METRICS.build(dict(type="AVSMetric") | metric)

    def test_what_a_frame_lacks_is_named(self):
        frame = make_frame([[0]], [[0]], clip_id="a")
        with pytest.raises(ValueError, match="needs seg_logits"):
            score([frame], 2)
        with pytest.raises(ValueError, match="two classes, not for 3"):
            score([frame], 3, legacy_batch=1)
        del frame.gt_sem_seg
        with pytest.raises(ValueError, match="frame.jpg has no gt_sem_seg"):
            score([frame], 3)

    def test_data_set_without_class_names(self):
        metric = METRICS.build(dict(type="AVSMetric"))
        with pytest.raises(ValueError, match="METAINFO"):
            metric.process({}, [FRAME1.to_dict()])


@pytest.mark.gpu
def test_scores_on_the_device_of_the_prediction():
    for num_classes in (2, 4):
        frames = random_frames(6, num_classes)
        on_cpu = score(frames, num_classes)
        assert score([frame.to("cuda") for frame in frames], num_classes) == on_cpu
