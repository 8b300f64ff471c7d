"""The scorer of files: hand-computed families, AVSMetric's numbers, layouts and encodings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from benchmark_trees import make_avss, make_mixed_vpo, make_ms3, make_s4, make_vpo
from metric_frames import object_frame, random_frames, score
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from scored_folders import save, scored, scores
from tiny_config import shrink

from projects.cpm_avs.datasets.benchmarks.class_names import AVSS_CLASSES, VPO_CLASSES
from projects.cpm_avs.datasets.palette import voc_palette
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.evaluation import MaskWriterHook
from projects.cpm_avs.evaluation import mask_functional as F
from projects.cpm_avs.scoring import summarise
from projects.cpm_avs.scoring.summary import clip_scores
from projects.cpm_avs.scoring.truth import find_truth

ROOT = Path(__file__).resolve().parents[1]


def as_files(frames, tmp_path):
    """The truth as plain PNG, and the predictions as tools/test.py --out writes them."""
    for frame in frames:
        name = f"{frame.clip_id}/{frame.frame_index}.png"
        save(tmp_path / "truth" / name, frame.gt_sem_seg.data[0].numpy().astype(np.uint8))
        frame.set_metainfo(dict(img_path=f"frames/{frame.frame_index}.jpg"))
    MaskWriterHook(out_dir=str(tmp_path / "masks")).after_test_iter(None, 0, None, frames)
    return tmp_path / "masks", tmp_path / "truth"


# ---- by hand


def small_set(tmp_path):
    """The two frames of docs/metrics.md, three classes, one clip."""
    save(tmp_path / "truth/a/0.png", np.array([[0, 0], [1, 1]], np.uint8))
    save(tmp_path / "masks/a/0.png", np.array([[0, 1], [1, 2]], np.uint8))
    for side in ("truth", "masks"):
        save(tmp_path / side / "a/1.png", np.zeros((2, 2), np.uint8))
    return tmp_path / "masks", tmp_path / "truth"


def test_per_frame_and_over_the_whole_set_by_hand(tmp_path):
    found = scores(*small_set(tmp_path), classes="3")
    assert found["dataset/mIoU"] == pytest.approx(100 * 7 / 18)  # (5/6 + 1/3 + 0) / 3
    assert found["dataset/F"] == pytest.approx(100 * (6.5 / 6.8 + 0.5) / 3)
    assert found["avsbench/J"] == pytest.approx(100 * (0.75 + 1 / 3) / 3)
    assert found["avsbench/F"] == pytest.approx(100 * (0.90625 + 0.5) / 3)


def three_frames(tmp_path):
    """Two clips: an object found by half and a silent frame with a false pixel; a whole one.

    Squeezed from 2x4 to 4x4 every pixel counts twice as often, which changes no IoU.
    """
    none = np.zeros((2, 4), np.uint8)
    row = np.array([[1, 1, 1, 1], [0, 0, 0, 0]], np.uint8)
    half = np.array([[1, 1, 0, 0], [0, 0, 0, 0]], np.uint8)
    pixel = np.array([[3, 0, 0, 0], [0, 0, 0, 0]], np.uint8)
    for name, truth, mask in (("a/0", 2 * row, half), ("a/1", none, pixel), ("b/0", row, row)):
        save(tmp_path / f"truth/{name}.png", truth)
        save(tmp_path / f"masks/{name}.png", mask)
    return tmp_path / "masks", tmp_path / "truth"


def test_foreground_at_a_size_by_hand(tmp_path):
    """J: clip a (1/2 + 7/8) / 2, clip b 1. F: a P = 1, R = 1/2: 1.3 / 1.6; b 1. Mean over clips."""
    masks, truth = three_frames(tmp_path)
    found = scores(masks, truth, "foreground", classes="4", foreground_size=(4, 4))
    assert found["foreground/J"] == pytest.approx(100 * (11 / 16 + 1) / 2)
    assert found["foreground/F"] == pytest.approx(100 * (0.65 / 0.8 + 1) / 2)
    assert found["foreground/J&F"] == pytest.approx((found["foreground/J"] + 90.625) / 2)
    # Frame by frame it is another number, and over the whole set a third: IoU (13/17, 6/9).
    merged = scores(masks, truth, classes="binary")
    assert merged["avsbench/J"] == pytest.approx(100 * (1 / 2 + 7 / 8 + 1) / 3)
    assert merged["dataset/mIoU"] == pytest.approx(100 * (15 / 18 + 6 / 9) / 2)
    apart = scores(masks, truth, classes="4")
    background = (4 / 6 + 7 / 8 + 1) / 3
    assert apart["avsbench/J"] == pytest.approx(100 * (background + 1 / 2 + 0 + 0) / 4)
    assert apart["dataset/mIoU"] == pytest.approx(100 * (15 / 18 + 4 / 6 + 0 + 0) / 4)


def test_foreground_squeezes_masks_of_any_size(tmp_path):
    """Pillow's nearest neighbour: a column of four is the middle of its part of the six."""
    save(tmp_path / "truth/a/0.png", np.array([[0, 0, 0, 1, 1, 1]] * 2, np.uint8))
    save(tmp_path / "masks/a/0.png", np.array([[0, 1]], np.uint8))
    assert scores(tmp_path / "masks", tmp_path / "truth", "foreground")["foreground/J"] == (
        pytest.approx(100)
    )


def test_a_frame_without_a_mask_earns_nothing(tmp_path):
    """Neither where something sounds nor where nothing does: there J would be 1 for no pixel."""
    masks, truth = three_frames(tmp_path)
    (masks / "a/0.png").unlink()
    (masks / "a/1.png").unlink()
    found = scores(masks, truth, "dataset", "avsbench", "foreground", classes="binary")
    assert found["avsbench/J"] == pytest.approx(100 / 3)
    assert found["avsbench/F"] == pytest.approx(50)
    assert found["foreground/J"] == pytest.approx(50)
    assert found["foreground/F"] == pytest.approx(50)
    assert found["dataset/mIoU"] == pytest.approx(100 * (4 / 16 + 4 / 8) / 2)
    assert found["dataset/aAcc"] == pytest.approx(100 * 8 / 24)
    found = scores(masks, truth, classes="4")
    assert found["avsbench/J"] == pytest.approx(100 * (1 / 3 + 1 + 0 + 0) / 4)


def test_scores_of_a_clip_are_of_its_own_classes(tmp_path):
    clip = scored(*small_set(tmp_path), classes="3").clips[0]
    found = clip_scores(clip, ("dataset", "avsbench"))
    assert found["dataset/mIoU"] == pytest.approx(100 * 7 / 18)
    (tmp_path / "masks/a/0.png").unlink()
    found = clip_scores(scored(*small_set(tmp_path), classes="70").clips[0], ("avsbench",))
    assert found["avsbench/J"] == pytest.approx(100 * (0.75 + 1 / 3) / 3)


# ---- as AVSMetric


@pytest.mark.parametrize(("num_classes", "legacy"), [(2, 1), (2, 2), (5, None)])
def test_files_give_the_numbers_of_the_metric(tmp_path, num_classes, legacy):
    """Of tensors in memory, among them the F of probabilities, which files hold in 8 bits."""
    frames = random_frames(23, num_classes)
    expected = score(frames, num_classes, legacy_batch=legacy)
    found = scores(
        *as_files(frames, tmp_path), classes=str(num_classes), encoding="index", legacy_batch=legacy
    )
    whole = {name: value for name, value in expected.items() if name.count("/") == 1}
    assert found.keys() == whole.keys()
    for name, value in whole.items():
        assert found[name] == pytest.approx(value, abs=1e-12, rel=0), name


@pytest.mark.parametrize("config", ["cpm_r50_s4-224", "cpm_r50_avss-224"])
def test_what_a_test_writes_scores_as_the_test_did(tmp_path, config):
    """A whole run of the test loop on files, subsets included."""
    root = (make_s4 if "s4" in config else make_avss)(tmp_path / "data")
    cfg = shrink(Config.fromfile(ROOT / "configs" / f"{config}.py"), narrow=True)
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    cfg.test_dataloader.dataset.data_root = str(root)
    cfg.model.criterion = None
    metric = dict(type="AVSMetric", group_by=("source", "subset"), json_path=str(tmp_path / "m"))
    cfg.test_evaluator = metric | (dict(legacy_batch=1) if "s4" in config else {})
    cfg.update(work_dir=str(tmp_path / "run"), train_dataloader=None, train_cfg=None)
    cfg.update(optim_wrapper=None, val_dataloader=None, val_cfg=None, val_evaluator=None)
    cfg.update(param_scheduler=None, default_hooks={}, log_level="ERROR")
    cfg.custom_hooks = [dict(type="MaskWriterHook", out_dir=str(tmp_path / "masks"))]
    torch.manual_seed(3)
    expected = Runner.from_cfg(cfg).test()
    legacy = 1 if "s4" in config else None
    found = scores(tmp_path / "masks", root, size=(224, 224), legacy_batch=legacy)
    assert len(found) == (10 if legacy else 40)
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=1e-12, rel=0), name


def test_grey_values_lie_between_the_same_thresholds():
    prob = torch.cat([torch.linspace(0, 1, 4001), F.THRESHOLDS, torch.nextafter(
        F.THRESHOLDS[1:], torch.zeros(1))])  # fmt: skip
    grey = F.to_grey(prob)
    assert grey.dtype == torch.uint8 and set(grey.tolist()) == set(range(256))
    assert (grey / 255 - prob).abs().max() < 1 / 254 + 1e-6
    assert torch.equal(F.thresholds_reached(grey.float() / 255), F.thresholds_reached(prob))
    assert torch.equal(F.thresholds_reached(prob), torch.bucketize(prob, F.THRESHOLDS, right=True)
                       .int() - 1)  # fmt: skip


def test_grey_maps_alone_are_masks_and_probabilities(tmp_path):
    """8 or 16 bits; of the frames of docs/metrics.md F is 0.6437, and by clip 0.6889."""
    f1 = object_frame([[0.9, 0.4], [0.6, 0.1]], [[1, 1], [0, 0]], clip_id="a", frame_index=0)
    f2 = object_frame([[0.3, 0.8], [0.1, 0.1]], [[1, 0], [0, 0]], clip_id="b", frame_index=0)
    masks, truth = as_files([f1, f2], tmp_path)
    found = scores(masks / "probability", truth, "avsbench", encoding="grey", legacy_batch=1)
    assert found["avsbench/F"] == pytest.approx(64.3720, abs=1e-4)
    assert found["avsbench/F_batch1"] == pytest.approx(68.8859, abs=1e-4)
    assert found["avsbench/J"] == pytest.approx(100 * (1 / 3 + 0) / 2, abs=1e-4)
    for path in (masks / "probability").rglob("*.png"):
        save(path, np.asarray(Image.open(path)).astype(np.uint16) * 257)
    again = scores(masks / "probability", truth, "avsbench", encoding="grey", legacy_batch=1)
    assert again == found


# ---- layouts


def copies(source, target, name):
    """Copy masks under other names."""
    for path in sorted(source):
        save(target / name(path), np.asarray(Image.open(path)))
    return target


def test_names_of_the_benchmarks_and_of_ours(tmp_path):
    s4, ms3, avss = make_s4(tmp_path / "s4"), make_ms3(tmp_path / "ms3"), make_avss(tmp_path / "av")
    cases = [
        (s4, "s4_data/gt_masks/test", lambda p: p.name),  # flat
        (s4, "s4_data/gt_masks/test", lambda p: f"{p.parent.name}/{p.name}"),
        (s4, "s4_data/gt_masks/test", lambda p: f"out/race_car/{p.parent.name}/{p.name}"),
        (ms3, "ms3_data/gt_masks/test", lambda p: f"e0/e0.mp4_{p.stem[-1]}.PNG"),  # the frames'
        (ms3, "ms3_data/gt_masks/test", lambda p: p.name),
        (avss, "v2", lambda p: f"{p.parent.parent.name}/{p.name}"),
        (avss, "v2", lambda p: f"x/v2/d_0/labels_semantic/{p.name}"),
    ]
    for place, (root, below, name) in enumerate(cases):
        source = [p for p in (root / below).rglob("*.png") if "frames" not in p.parts[-2]]
        source = [p for p in source if "labels_rgb" not in p.parts]
        masks = copies(source, tmp_path / f"masks{place}", name)
        result = scored(masks, root)
        if root == avss:  # the other clip is missing
            assert [problem.kind for problem in result.problems] == ["missing"] * 5
        else:
            assert not result.problems and not result.extra
            assert scores(masks, root)["avsbench/J"] == pytest.approx(100)


def test_the_truth_in_colours_where_there_are_no_indices(tmp_path):
    avss = make_avss(tmp_path)
    masks = copies(avss.glob("*/*/labels_rgb/*.png"), tmp_path / "masks",
                   lambda p: f"{p.parent.parent.name}/{p.name}")  # fmt: skip
    by_index = scores(masks, avss)
    assert by_index["dataset/aAcc"] == 100
    for folder in list(avss.glob("*/*/labels_semantic")):
        folder.rename(folder.with_name("gone"))
    assert scores(masks, avss) == by_index


def test_vpo_in_both_layouts(tmp_path):
    root, mixed = make_vpo(tmp_path / "vpo"), make_mixed_vpo(tmp_path / "mixed")
    for layout, below, split in (
        ("vpo-ss", "VPO-SS/mask", "test"),
        ("vpo-ms", "VPO-MS/mask", "train"),
        ("vpo-msmi", "VPO-MSMI/mask", "test"),
    ):
        found = scores(root / "VPO" / below, root, layout=layout, split=split, encoding="truth")
        assert found["dataset/aAcc"] == 100, layout
    cat = find_truth(root, layout="vpo-ss").frames[0]
    everywhere = np.full((24, 32), VPO_CLASSES.index("cat"), np.uint8)  # a class, no COCO id
    save(tmp_path / "mine" / f"{cat.clip}.png", everywhere)
    found = scores(tmp_path / "mine", root, layout="vpo-ss")
    assert found["dataset/aAcc"] == pytest.approx(25)
    truth = find_truth(mixed, layout="vpo-ms", index=mixed / "vpo.csv")
    assert [frame.clip for frame in truth.frames] == ["u1/36"]


def test_clips_of_plain_folders(tmp_path):
    for name in ("x_1", "x_2", "y", "2024_07"):
        save(tmp_path / "flat" / f"{name}.png", np.ones((2, 2), np.uint8))
        save(tmp_path / "deep" / "k" / name / "0.png", np.ones((2, 2), np.uint8))
    clips = [frame.clip for frame in find_truth(tmp_path / "flat").frames]
    assert clips == ["2024", "x", "x", "y"]
    clips = [frame.clip for frame in find_truth(tmp_path / "deep").frames]
    assert clips == ["k/2024_07", "k/x_1", "k/x_2", "k/y"]


def test_subsets_are_those_of_the_index(tmp_path):
    avss = make_avss(tmp_path)
    rows = summarise(scored(avss / "v2", avss).clips, ("dataset",))
    assert [(row.subset, row.clips, row.frames) for row in rows] == [
        ("total", 2, 15), ("ms", 1, 10), ("ss", 1, 5), ("v1s", 1, 5), ("v2", 1, 10),
    ]  # fmt: skip
    merged = scores(avss / "v2", avss, classes="binary", encoding="index")
    assert merged["v2/avsbench/J"] == pytest.approx(100) and merged["v1s/avsbench/J"] == 0


# ---- encodings


@pytest.mark.parametrize(
    ("values", "mode"),
    [(1, None), (255, None), (45, None), (255, "RGB"), (255, "RGBA"), (255, "LA"), (255, "1")],
)
def test_anything_but_0_is_the_object_of_two_classes(tmp_path, values, mode):
    truth = np.array([[1, 0], [0, 0]], np.uint8)
    save(tmp_path / "truth/a.png", truth * 255)
    save(tmp_path / "masks/a.png", truth * np.uint8(values), mode)
    assert scores(tmp_path / "masks", tmp_path / "truth")["avsbench/J"] == pytest.approx(100)


def test_classes_come_as_indices_palette_or_colours(tmp_path):
    classes = np.array([[0, 14], [70, 3]], np.uint8)
    palette = np.array(voc_palette(len(AVSS_CLASSES)), np.uint8)
    save(tmp_path / "truth/a/0.png", classes)
    image = Image.fromarray(classes, mode="P")
    image.putpalette(palette.flatten().tolist())
    masks = tmp_path / "masks/a/0.png"
    masks.parent.mkdir(parents=True)
    for write in (
        lambda: image.save(masks),
        lambda: save(masks, classes),
        lambda: save(masks, classes.astype(np.uint16)),
        lambda: save(masks, palette[classes]),
        lambda: Image.fromarray(palette[classes]).convert("RGBA").save(masks),
    ):
        write()
        found = scores(tmp_path / "masks", tmp_path / "truth", classes="avss")
        assert found["dataset/aAcc"] == 100
    # Pillow numbers the colours of a quantised picture anew: only the colours are right.
    Image.fromarray(palette[classes]).quantize(8).save(masks)
    with pytest.raises(UserError, match="has the colour of class .* 'index' or 'color'"):
        scores(tmp_path / "masks", tmp_path / "truth", classes="avss")
    found = scores(tmp_path / "masks", tmp_path / "truth", classes="avss", encoding="color")
    assert found["dataset/aAcc"] == 100


def test_plain_truths_may_be_in_colours(tmp_path):
    classes = np.array([[0, 14], [70, 3]], np.uint8)
    masks = save(tmp_path / "masks/a/0.png", classes).parents[1]
    palette = np.array(voc_palette(len(AVSS_CLASSES)), np.uint8)
    truth = save(tmp_path / "truth/a/0.png", palette[classes]).parents[1]
    assert scores(masks, truth, classes="avss")["dataset/aAcc"] == 100
    assert scores(masks, truth, classes="binary")["dataset/aAcc"] == 100
    save(tmp_path / "truth/a/0.png", (classes > 0).astype(np.uint8) * 255, "RGB")
    assert scores(masks, truth)["dataset/aAcc"] == 100


# ---- real items


@pytest.mark.parametrize("item", ["avsbench_s4", "avsbench_ms3", "avsbench_avss"])
def test_real_items(samples_dir, tmp_path, item):
    """Real masks against themselves, moved by 2 pixels, and counted by hand."""
    path = next((samples_dir / item).glob("*.png"))
    values = np.asarray(Image.open(path))
    classes = values.any(-1) if values.ndim == 3 else values > 0
    save(tmp_path / "truth/a/0.png", classes.astype(np.uint8))
    save(tmp_path / "masks/a/0.png", values)
    folders = tmp_path / "masks", tmp_path / "truth"
    assert scores(*folders)["avsbench/J"] == pytest.approx(100)
    moved = np.roll(values, 2, axis=1)
    save(tmp_path / "masks/a/0.png", moved)
    found = scores(*folders)
    object_there = moved.any(-1) if moved.ndim == 3 else moved > 0
    expected = (classes & object_there).sum() / (classes | object_there).sum()
    assert 0.3 < expected < 1 and found["avsbench/J"] == pytest.approx(100 * expected)
    if values.ndim == 3:
        save(tmp_path / "truth/a/0.png", classes.astype(np.uint8) * 14)  # a clarinet
        rest = (~classes & ~object_there).sum() / (~classes | ~object_there).sum()
        found = scores(*folders, classes="avss")
        assert found["dataset/mIoU"] == pytest.approx(100 * (expected + rest) / 71)
