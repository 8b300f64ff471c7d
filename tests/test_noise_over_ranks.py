"""ACP's noise is drawn from the batches of all ranks, as one process with all samples has it."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from ranks import run_on_ranks
from tiny import build_tiny, losses_of, prompt_cfg, tiny_batch
from torch import nn

from projects.cpm_avs.training.prompting import offscreen_noise as module
from projects.cpm_avs.training.prompting.offscreen_noise import (
    draw_partners,
    offscreen_noise,
    sounds_of_ranks,
)

SIZES = (1, 3)  # samples of the two ranks
LABELS = (1, 2, 1, 3)


def sounding_classes() -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(LABELS), 4).bool()


def batch_of(part: slice) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Four samples, of which the second and the last are silent."""
    generator = torch.Generator().manual_seed(0)
    inputs = dict(specgram=torch.rand(4, 1, 3, 5, generator=generator))
    inputs["specgram"][[1, 3]] = 0
    return {key: value[part] for key, value in inputs.items()}, sounding_classes()[part]


def part_of(rank: int) -> slice:
    return slice(0, SIZES[0]) if rank == 0 else slice(SIZES[0], 4)


class ByClass(nn.Module):
    """One prompt a class, in whatever place it stands."""

    def forward(self, classifier: nn.Module, labels: torch.Tensor) -> torch.Tensor:
        return torch.randn(4, 32, generator=torch.Generator().manual_seed(0))[labels]


def acp(images: slice) -> float:
    """Loss of a tiny model on a part of two images whose classes differ."""
    model = build_tiny(prompt_cfg(1, 0, 0)).train()
    model.criterion.prompted_path.prompter = ByClass()
    batch = tiny_batch(2)
    part = dict(
        inputs={key: values[images] for key, values in batch["inputs"].items()},
        data_samples=batch["data_samples"][images],
    )
    return losses_of(model, part)["loss_acp"].item()


def of_rank(rank: int) -> list:
    inputs, sounding = batch_of(part_of(rank))
    pool = sounds_of_ranks(inputs["specgram"].requires_grad_(), sounding)
    noise = offscreen_noise(inputs, sounding, sounds_of_ranks)
    alone = offscreen_noise(inputs, sounding)
    return [
        pool.own.tolist(),
        pool.sounding.tolist(),
        noise.specgram.tolist(),
        noise.mixed.tolist(),
        alone.mixed.tolist(),
        pool.spectra.requires_grad,
        acp(slice(rank, rank + 1)),
    ]


def test_two_ranks_draw_as_one_process_does():
    """Each sample has one partner at most: the other audible one of another class, or none."""
    first, second = run_on_ranks(2, of_rank)
    whole, sounding = batch_of(slice(0, 4))
    expected = offscreen_noise(whole, sounding)
    assert expected.mixed.tolist() == [False, True, False, True]
    assert (first[0], second[0]) == ([0], [1, 2, 3])
    assert first[1] == second[1] == sounding.tolist()
    assert [*first[3], *second[3]] == expected.mixed.tolist()
    found = torch.tensor([*first[2], *second[2]])
    # Two sounds fit the silent samples; either is one of the pool's, whole.
    for row, mixed in zip(found, expected.mixed, strict=True):
        fitting = (torch.equal(row, whole["specgram"][k]) for k in (0, 2))
        assert any(fitting) if mixed else not row.any()
    assert found.shape == expected.specgram.shape
    assert not first[4][0]  # alone it had nobody
    assert first[5] is second[5] is False  # no gradient goes through what is mixed in

    # One image a rank: without the others' sounds there would be no l_ACP at all.
    whole_loss = acp(slice(0, 2))
    assert (first[6] + second[6]) / 2 == pytest.approx(whole_loss, rel=1e-5) and whole_loss > 0


def test_partners_of_a_part_of_the_pool():
    sounding, audible = sounding_classes(), torch.tensor([True, True, True, True])
    own = torch.tensor([1, 2])
    draws = torch.stack([draw_partners(sounding, audible, own) for _ in range(100)])
    assert [set(column) for column in draws.T.tolist()] == [{0, 2, 3}, {1, 3}]
    binary = torch.tensor([[False, True]] * 4)  # its own sound is foreign to nobody
    draws = torch.stack([draw_partners(binary, audible, own) for _ in range(100)])
    assert [set(column) for column in draws.T.tolist()] == [{0, 2, 3}, {0, 1, 3}]


def test_a_batch_of_one_on_one_process_is_told_once(caplog):
    module._tell_of_a_single_sound.cache_clear()
    logger = MMLogger.get_instance("test_noise_over_ranks")
    logger.addHandler(caplog.handler)
    with caplog.at_level(logging.WARNING):
        model = build_tiny()
        for seed in range(3):
            losses_of(model, tiny_batch(1, seed=seed))
    told = [r.getMessage() for r in caplog.records if "no other sound" in r.getMessage()]
    assert len(told) == 1 and "batch_size to 2 or more" in told[0]

    module._tell_of_a_single_sound.cache_clear()
    caplog.clear()
    batch = tiny_batch(1)
    batch["inputs"]["noise_waveform"] = batch["inputs"]["waveform"]
    losses_of(model, tiny_batch(2))
    losses_of(model, batch)
    assert not [r for r in caplog.records if "no other sound" in r.getMessage()]
