"""Clean and mixed sounds, heard together and apart."""

import torch
from spying import spy
from tiny import build_tiny
from torch import nn

from projects.cpm_avs.training.prompting.two_sounds import hear_both


def test_both_in_one_call_are_each_by_itself(monkeypatch):
    model = build_tiny().train()
    clean, mixed = torch.rand(2, 3, 1, 32, 256)
    results = []
    for together in (True, False):
        model.zero_grad()
        if together:
            calls = spy(monkeypatch, model, "extract_audio")
            found = hear_both(model, clean, mixed)
            assert len(calls) == 1
        else:
            found = model.extract_audio(clean), model.extract_audio(mixed)
        outputs = [
            x for one in found for x in (*(level.linear() for level in one.levels), one.memory)
        ]
        sum(x.square().sum() for x in outputs).backward()
        gradients = [x.grad.clone() for x in model.audio_backbone.parameters()]
        results.append([*(x.detach() for x in outputs), *gradients])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_batch_norms_that_learn_hear_them_apart(monkeypatch):
    model = build_tiny().train()
    model.audio_backbone.stages[0] = nn.Sequential(
        model.audio_backbone.stages[0], nn.BatchNorm2d(8)
    )
    calls = spy(monkeypatch, model, "extract_audio")
    clean, mixed = torch.rand(2, 3, 1, 32, 256)
    hear_both(model, clean, mixed)
    assert [len(call.args[0]) for call in calls] == [3, 3]
    calls.clear()
    model.audio_backbone.stages[0].eval()  # a norm that stays as it is
    hear_both(model, clean, mixed)
    assert [len(call.args[0]) for call in calls] == [6]
