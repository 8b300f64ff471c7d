"""A class that sounds, but whose object a crop left out: never taught two opposite things."""

import math

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from PIL import Image
from segments import CLASSES, criterion, drawing, none, of_one, sample
from spying import spy
from tiny import build_tiny, losses_of, prompt_cfg, tiny_batch
from toy_avs import LOAD, ToySet, write_toy_files

from projects.cpm_avs.training.prompting import prompted_path
from projects.cpm_avs.training.set_prediction.set_criterion import heard_or_nothing
from projects.cpm_avs.training.set_prediction.targets import build_targets

NOTHING = CLASSES  # the label of no-object


def test_what_sounds_unseen():
    maps = [[[0, 2], [2, 2]], [[0, 0], [0, 255]], [[0, 1], [3, 1]]]
    heard = [[1, 2, 3], [2], [1, 3]]
    targets = build_targets(
        [sample(m, sound_classes=h) for m, h in zip(maps, heard, strict=True)], 4
    )
    found = [row.nonzero().flatten().tolist() for row in targets.unseen]
    assert found == [[1, 3], [2], []]
    # Where the mask alone tells what sounds, nothing can.
    assert not build_targets([sample(m) for m in maps], 4).unseen.any()


def test_either_answer_hand_numbers():
    # Probabilities 0.1, 0.2, 0.3 of the classes and 0.4 of no-object.
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().expand(3, 1, 4)
    unseen = torch.tensor([[0, 0, 0], [0, 0, 1], [0, 1, 1]]).bool()
    found = heard_or_nothing(logits, unseen).flatten().tolist()
    assert found == pytest.approx([-math.log(p) for p in (0.4, 0.4 + 0.3, 0.4 + 0.3 + 0.2)])


@pytest.mark.parametrize("answer", [1, NOTHING])
def test_td_a_may_name_what_it_hears_or_not(answer):
    """Sure of either, a query loses nothing; sure of a class that does not sound, it does."""
    sure = torch.zeros(1, 1, 1, CLASSES + 1)
    sure[..., answer] = 30.0
    false = torch.zeros(1, 1, 1, CLASSES + 1)
    false[..., 2] = 30.0
    targets = build_targets([sample([[0, 0], [0, 0]], sound_classes=[1])], CLASSES)
    labels = torch.full((1, 1, 1), NOTHING)
    for logits, expected in ((sure, 0.0), (false, 2 * (30.0 - math.log(2)))):
        output = drawing(torch.zeros(1, 1, 1, 8), logits, torch.zeros(1, 1, 1, 4, 4))
        loss = of_one(criterion(), output, labels, none(), targets)["loss_cls"]
        assert loss.item() == pytest.approx(expected, abs=1e-4)


def test_every_layer_against_one_query_at_a_time():
    """Image 0 hears class 3 unseen, image 1 shows what it hears; layers 1 and 2 have seen both."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 5, CLASSES + 1, generator=generator)
    labels = torch.full((3, 2, 5), NOTHING)
    labels[:, :, 0], labels[:, :, 1] = 0, 1  # matched with the two segments
    maps = [[[0, 1], [1, 1]]] * 2
    pairs = zip(maps, ([1, 3], [1]), strict=True)
    targets = build_targets([sample(rows, sound_classes=heard) for rows, heard in pairs], CLASSES)
    output = drawing(torch.zeros(3, 2, 5, 8), logits, torch.zeros(3, 2, 5, 4, 4))
    losses = of_one(criterion(), output, labels, none(), targets)
    for layer, name in enumerate(["d0.", "d1.", ""]):
        total = weight_sum = 0.0
        for image in range(2):
            for query in range(5):
                p = logits[layer, image, query].softmax(-1)
                label = int(labels[layer, image, query])
                weight = 0.1 if label == NOTHING else 1.0
                right = p[label]
                if layer == image == 0 and label == NOTHING:
                    right = right + p[3]
                total -= weight * math.log(right)
                weight_sum += weight
        assert losses[f"{name}loss_cls"].item() == pytest.approx(2 * total / weight_sum, rel=1e-5)


def test_a_crop_that_loses_an_object(tmp_path):
    """Classes 1 and 3 lie in opposite corners; the crop holds one of them or none."""
    init_default_scope("mmseg")
    root = write_toy_files(tmp_path, 1)
    mask = np.zeros((24, 32), np.uint8)
    mask[:2, :2], mask[-2:, -2:] = 1, 3
    Image.fromarray(mask).save(root / "0.png")
    crop = dict(type="RandomCrop", crop_size=(8, 8))
    pipeline = [*LOAD, crop, dict(type="PackAVSInputs")]
    dataset = ToySet(root=root, count=1, known_classes=False, pipeline=pipeline)
    batch = pseudo_collate([dataset[0] for _ in range(8)])
    targets = build_targets(batch["data_samples"], 4)
    assert targets.sounding[:, [1, 3]].all()
    shown = torch.stack([(targets.label_map == k).flatten(1).any(1) for k in (1, 3)], 1)
    assert torch.equal(targets.unseen[:, [1, 3]], ~shown) and not shown.all(1).any()


def cropped_batch() -> dict:
    """Both images show one class; the first one's sound holds the other one's class, too."""
    batch = tiny_batch(3)
    batch["data_samples"][0].set_metainfo(dict(sound_classes=[1, 2]))
    return batch


def test_the_prompt_of_what_was_cropped_neither_draws_nor_names(monkeypatch):
    model = build_tiny(prompt_cfg(0, 1, 0))
    calls = spy(monkeypatch, model.criterion.set_criterion, "forward")
    losses_of(model, cropped_batch())
    _, prompts = calls[0].args[2]
    # Prompts: classes 1 and 2; class 2 and padding; class 1 and padding.
    assert prompts.counted.tolist() == [[True, False], [True, False], [True, False]]
    matching = prompts.matching
    pairs = set(zip(matching.image.tolist(), matching.query.tolist(), strict=True))
    assert pairs == {(0, 0), (1, 0), (2, 0)}


def test_its_prompt_still_hears_it(monkeypatch):
    """The sound is there: ACP looks for it, and PCL for pixels of its class in other images."""
    model = build_tiny()
    masks = spy(monkeypatch, prompted_path, "predict_ratio")
    contrasted = spy(monkeypatch, prompted_path, "info_nce")
    losses_of(model, cropped_batch())
    assert masks[0].args[1].tolist() == [[False, False], [False, True], [False, True]]
    assert contrasted[0].args[1].tolist() == [1, 2, 2, 1]


def test_training_goes_on_where_all_that_sounds_was_cropped_away():
    model = build_tiny().train()
    batch = tiny_batch()
    for data_sample, label in zip(batch["data_samples"], (1, 2), strict=True):
        data_sample.gt_sem_seg.data[:] = 0
        data_sample.set_metainfo(dict(sound_classes=[label]))
    losses = losses_of(model, batch)
    assert all(loss == 0 for name, loss in losses.items() if name.startswith("vcp"))
    assert losses["loss_acp"] > 0 and losses["d0.loss_cls"] > 0
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(grad is not None and grad.isfinite().all() for grad in gradients.values())
