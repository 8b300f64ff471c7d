"""Names or masks: every row by hand, on a strip of six pixels, and the command."""

import json
import math

import numpy as np
import pytest
import torch
from benchmark_trees import make_ms3
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from query_outputs import unchanged
from tiny import build_tiny
from tiny_config import shrink
from typed_tools import ROOT, tool

from projects.cpm_avs.evaluation import mask_functional as F
from projects.cpm_avs.evaluation import where_lost as W
from projects.cpm_avs.evaluation.streaming import Sums, add_sums
from projects.cpm_avs.launch import build_dataset, plain_errors
from projects.cpm_avs.models.mask_merge import merge_max

STAMPS = str(ROOT / "configs/cpm_mbv2-yamnet_stamps.py")
CHECKPOINT = str(ROOT / "data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth")
NAMES = ("background", "dog", "drum", "owl")
NONE = 4  # no-object

# What is seen: a dog that is silent, a drum that sounds, an owl that is silent. The last pixel is
# not scored. Query 0 has the background, 1 the drum with half of the dog, 2 the owl.
SEEN = torch.tensor([[0, 1, 2, 2, 3, 0]])
TRUTH = torch.tensor([[0, 0, 2, 2, 0, 255]])
MASKS = torch.tensor([[1, 0, 0, 0, 0, 1], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 0]]).bool()


def frame(labels, heard, *, seen=SEEN, truth=TRUTH, masks=MASKS) -> W.QueriedFrame:
    """A frame whose queries name these classes, each with a probability of 0.9."""
    probabilities = torch.full((len(labels), NONE + 1), 0.1 / NONE)
    probabilities[range(len(labels)), labels] = 0.9
    masks = torch.where(masks, 9.0, -9.0)[:, None]
    return W.QueriedFrame(probabilities.log(), masks, torch.tensor(heard), truth, seen)


def rows(*frames: W.QueriedFrame) -> tuple[dict[str, float], dict[str, float]]:
    sums: Sums = {}
    for one in frames:
        masks = one.mask_logits
        add_sums(sums, W.frame_sums(one, lambda logits, m=masks: merge_max(logits, m, unchanged)))
    return W.lost_scores(sums)


def test_every_row_by_hand():
    """The drum is taken for a dog, the owl is taken to sound; after TD-A drum and owl are named."""
    miou, f1 = rows(frame([0, 1, 3], [2, 3, NONE]))
    # The five pixels that count: truth 0 0 2 2 0. IoU of (background, dog, drum, owl), of which
    # each that occurs nowhere counts 0, is divided by four.
    assert miou == pytest.approx(
        {
            W.AS_PREDICTED: 100 * (1 / 3) / 4,  # 0 1 1 1 3: (1/3, 0, 0, 0)
            W.STRUCK: 100 * (3 / 5) / 4,  # 0 0 0 0 0: (3/5, 0, 0, 0)
            W.TRUE_NAMES: 100 * (2 / 3 + 2 / 3) / 4,  # 0 2 2 2 0: (2/3, 0, 2/3, 0)
            W.PREDICTED_NAMES: 100 * (1 / 5) / 4,  # dog and owl, 0 1 0 0 3: (1/5, 0, 0, 0)
            W.HEARD_NAMES: 100 * (2 / 3 + 1) / 4,  # drum and owl, 0 0 2 2 3: (2/3, 0, 1, 0)
        }
    )
    # Of dog and owl none sounds; of drum and owl one does: P 1/2, R 1, F1 2/3.
    assert f1 == pytest.approx({W.PREDICTED_NAMES: 0, W.HEARD_NAMES: 200 / 3})


def test_false_names_alone_are_struck():
    """The drum sounds; what says background, drum or nothing says it as before."""
    logits = frame([0, 1, 2, 3, NONE], [NONE]).cls_logits
    struck = W.strike_false(logits, torch.tensor([False, False, True, False]))
    assert (struck == logits).all(1).tolist() == [True, False, True, False, True]
    assert struck.softmax(-1)[[1, 3]].tolist() == [[0, 0, 0, 0, 1]] * 2


def test_what_is_named_right_stays():
    """The owl alone is struck, and names of background and of nothing are no names."""
    miou, f1 = rows(frame([0, 2, 3], [0, 0, NONE]))
    assert miou == pytest.approx(
        {
            W.AS_PREDICTED: 100 * (1 / 3 + 2 / 3) / 4,  # 0 2 2 2 3: (1/3, 0, 2/3, 0)
            W.STRUCK: 100 * (2 / 3 + 2 / 3) / 4,  # 0 2 2 2 0: (2/3, 0, 2/3, 0)
            W.TRUE_NAMES: 100 * (2 / 3 + 2 / 3) / 4,
            W.PREDICTED_NAMES: 100 * (2 / 3 + 1) / 4,  # drum and owl, as above
            W.HEARD_NAMES: 100 * (3 / 5) / 4,  # nothing, 0 0 0 0 0
        }
    )
    assert f1 == pytest.approx({W.PREDICTED_NAMES: 200 / 3, W.HEARD_NAMES: 0})


def test_frames_are_added_up_before_they_are_divided():
    """Names: 1 of 2 right of 1, and 1 of 1 right of 1: 2 x 2 / (3 + 2)."""
    first, second = frame([0, 2, 3], [2, 2, 2]), frame([0, 2, NONE], [NONE] * 3)
    miou, f1 = rows(first, second)
    assert f1 == pytest.approx({W.PREDICTED_NAMES: 80, W.HEARD_NAMES: 200 / 3})
    # 0 2 2 2 3 and 0 2 2 2 0: background 1 + 2 of 3 + 3, the drum 4 of 6.
    assert miou[W.AS_PREDICTED] == pytest.approx(100 * (3 / 6 + 4 / 6) / 4)


def test_no_query_gets_two_classes():
    """Query 0 is the best for the background and for the drum; query 1 gets what costs less."""
    truth = torch.tensor([0, 0, 2, 2, 2, 255])
    masks = torch.tensor([[1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]]).bool()
    # IoU of background 2/5 and 0, of the drum 3/5 and 1/3: 2/5 + 1/3 is more than 3/5 + 0.
    assert W.true_labels(masks, truth, NONE).tolist() == [0, 2]
    # Query 1 has nothing but what is not scored: its IoU is 0, and the background finds no query.
    masks[1, 4] = False
    assert W.true_labels(masks, truth, NONE).tolist() == [2, NONE]
    assert W.true_labels(masks, torch.full_like(truth, 255), NONE).tolist() == [NONE, NONE]
    # Two classes, one query.
    assert W.true_labels(masks[:1], truth, NONE).tolist() == [2]


def test_the_unknown_is_left_out():
    """Without what can be seen there are no true masks; without sounds and names there is no F1."""
    silent = torch.zeros_like(TRUTH)
    miou, f1 = rows(frame([0, NONE, NONE], [NONE] * 3, seen=None, truth=silent))
    assert miou == dict.fromkeys((W.AS_PREDICTED, W.STRUCK, W.TRUE_NAMES), 100 / 4)
    assert set(f1) == {W.PREDICTED_NAMES, W.HEARD_NAMES} and all(map(math.isnan, f1.values()))


def tiny_run(name, folder, **frames) -> list[str]:
    """Config and checkpoint of a small model with random weights."""
    cfg = shrink(Config.fromfile(ROOT / "configs" / f"{name}.py"), narrow=True)
    cfg.test_dataloader.dataset.update(frames)
    cfg.dump(folder / "tiny.py")
    model = build_tiny(cfg.model)
    with torch.no_grad():  # else all queries of a random model are no-object, or all are one class
        model.decode_head.query_feat.weight.mul_(20)
    torch.save(model.state_dict(), folder / "tiny.pth")
    return [str(folder / "tiny.py"), str(folder / "tiny.pth")]


def scored(model, dataset, items: int) -> tuple[float, list]:
    """What the loop of a test gives ``AVSMetric`` for the first items, and the samples."""
    evaluator = Evaluator(dict(type="AVSMetric", protocols=["dataset"]))
    evaluator.dataset_meta = dataset.metainfo
    samples = []
    for index in range(items):
        item = dataset[index]
        batch = pseudo_collate(item if isinstance(item, list) else [item])
        with torch.no_grad():
            found = model.test_step(batch)
        evaluator.process(found, batch)
        samples += found
    return evaluator.evaluate(items)["dataset/mIoU"], samples


def f1_of_heard(samples) -> float:
    """By the names that a prediction tells, in percent."""
    names = [set(one.pred_audio_classes) for one in samples]
    truth = [set(one.gt_sem_seg.data.unique().tolist()) - {0, 255} for one in samples]
    right = sum(len(a & b) for a, b in zip(names, truth, strict=True))
    return 200 * right / sum(map(len, names + truth))


def miou_of_heard(samples, dataset) -> float:
    """Of all that can be seen and has such a name, in percent."""
    matrix = 0
    for index, sample in enumerate(samples):
        seen = dataset.compose(index, index)["visible_map"].astype(int)
        seen[~np.isin(seen, sample.pred_audio_classes)] = 0
        truth = sample.gt_sem_seg.data[0]
        matrix = matrix + F.confusion_matrix(torch.from_numpy(seen), truth, 25)
    return 100 * F.dataset_scores(F.class_areas(matrix))["mIoU"]


def lost(words, out, capsys) -> tuple[dict, str]:
    tool("where_lost").main([*words, "--json", str(out)])
    return json.loads(out.read_text()), capsys.readouterr().out


@pytest.mark.parametrize("settings", [{}, {"least_heard": 0.6, "no_object_odds": 3.0}])
def test_as_predicted_is_what_a_test_scores(settings, tmp_path, capsys):
    """Of the built-in model, on scenes that are padded on their way in."""
    where_lost = tool("where_lost")
    options = {"test_dataloader.dataset.image_size": 80, "test_dataloader.batch_size": 4}
    options |= {f"model.{name}": value for name, value in settings.items()}
    config = where_lost.read_config(STAMPS, options, read=where_lost.load_config)
    dataset = build_dataset(config, "test_dataloader")
    model, _ = where_lost.build_model(config, CHECKPOINT, "cpu")
    expected, samples = scored(model, dataset, 6)
    words = [f"{name}={value}" for name, value in options.items()]
    found, said = lost(
        [STAMPS, CHECKPOINT, "--scenes", "6", "--device", "cpu", "--cfg-options", *words],
        tmp_path / "lost.json",
        capsys,
    )
    assert found["frames"] == 6 and found["unit"] == "percent"
    assert found["mIoU"][W.AS_PREDICTED] == pytest.approx(expected, abs=1e-9) and expected > 10
    assert list(found["mIoU"]) == [
        W.AS_PREDICTED, W.STRUCK, W.TRUE_NAMES, W.PREDICTED_NAMES, W.HEARD_NAMES
    ]  # fmt: skip
    assert found["mIoU"][W.AS_PREDICTED] < found["mIoU"][W.TRUE_NAMES]
    assert 50 < found["F1"]["predicted names"] <= 100
    assert found["F1"]["names after TD-A"] == pytest.approx(f1_of_heard(samples))
    assert found["mIoU"][W.HEARD_NAMES] == pytest.approx(miou_of_heard(samples, dataset))
    for row, value in found["mIoU"].items():
        assert f" {row} " in said and f" {value:.1f} " in said
    assert f" {found['F1']['names after TD-A']:.1f} " in said and "No row" not in said


def test_all_that_can_be_seen_is_labelled():
    """Of the same scenes: where something sounds both labels are the same."""
    where_lost = tool("where_lost")
    config = where_lost.read_config(STAMPS, read=where_lost.load_config)
    visible = where_lost.visible_set(config)
    dataset = build_dataset(config, "test_dataloader")
    for index in range(3):
        seen = visible[index]["data_samples"].gt_sem_seg.data[0].numpy()
        scene = dataset.compose(index, index)
        assert (seen == scene["visible_map"]).all() and (seen != scene["gt_seg_map"]).any()


def test_clips_are_scored_whole(tmp_path, capsys):
    words = tiny_run("cpm_mbv2-yamnet_stamps_time", tmp_path)
    where_lost = tool("where_lost")
    config = where_lost.read_config(words[0], read=where_lost.load_config)
    model, _ = where_lost.build_model(config, words[1], "cpu")
    expected, samples = scored(model, build_dataset(config, "test_dataloader"), 2)
    found, _ = lost([*words, "--device", "cpu"], tmp_path / "lost.json", capsys)
    assert found["frames"] == 4 and len(found["mIoU"]) == 5
    assert found["mIoU"][W.AS_PREDICTED] == pytest.approx(expected, abs=1e-9)


def test_labels_of_what_sounds_alone_have_no_true_masks(tmp_path, capsys):
    words = tiny_run("cpm_r50_ms3-224", tmp_path, data_root=str(make_ms3(tmp_path / "ms3")))
    words += ["--scenes", "2", "--device", "cpu"]
    found, said = lost(words, tmp_path / "lost.json", capsys)
    assert list(found["mIoU"]) == [W.AS_PREDICTED, W.STRUCK, W.TRUE_NAMES]
    assert len(found["F1"]) == 2 and "No row has true masks" in said


def test_a_model_without_queries_is_refused():
    """Before its weights are looked for."""
    config = str(ROOT / "configs/baselines/cavp_mbv2-yamnet_stamps.py")
    with pytest.raises(SystemExit, match="model.type is 'DenseSegmentor', which"), plain_errors():
        tool("where_lost").main([config, "none.pth"])
