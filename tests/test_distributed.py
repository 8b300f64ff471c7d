"""Two ranks over gloo: collectives, hooks, and runs that must not depend on the sharding."""

import os
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from ranks import run_on_ranks
from tiny import tiny_model_cfg
from tiny_run import write_config
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from train_driver import finish, start, steps

from projects.cpm_avs.datasets.samplers import InfiniteDrawSampler
from projects.cpm_avs.launch import leave_processes
from projects.cpm_avs.training.distributed import gather_variable, reduce_mean
from projects.cpm_avs.training.hooks import (
    FreezeHook,
    RandomStateHook,
    SkipReportHook,
    StabilityHook,
)

WORLD = 2


def share(rank: int, lengths: tuple[int, ...], width: int | None) -> Tensor:
    """Rows that tell their rank and place: 100 * rank + row, times a column's number."""
    rows = 100.0 * rank + torch.arange(lengths[rank])
    return rows if width is None else rows[:, None] * torch.arange(1, width + 1)


def gather_shares(rank: int, cases: list[tuple[tuple[int, ...], int | None]]) -> list[Tensor]:
    gathered = []
    for lengths, width in cases:
        own = share(rank, lengths, width)
        both = gather_variable(own, share(rank, lengths, width).long())
        gathered += [result.numpy() for result in both]
    return gathered


def threads_at_the_end(rank: int) -> tuple[int, int]:
    """Threads of a process before and after it leaves the others, its model already dropped."""
    model = DistributedDataParallel(torch.nn.Linear(4, 4))
    model.itself = model  # mmengine's runner and model refer to each other, too
    model(torch.rand(2, 4)).sum().backward()
    gather_variable(torch.ones(3), torch.ones(3).long())
    del model
    before = len(os.listdir("/proc/self/task"))
    leave_processes()
    return before, len(os.listdir("/proc/self/task"))


def test_no_thread_of_a_group_outlives_it():
    for before, after in run_on_ranks(WORLD, threads_at_the_end):
        assert after <= before - 2  # gloo's two


def test_gathering_unequal_numbers_keeps_rank_order_and_content():
    cases = [((3, 5), 4), ((5, 3), 4), ((0, 2), 3), ((2, 0), 3), ((0, 0), 3), ((3, 1), None)]
    results = run_on_ranks(WORLD, gather_shares, cases)
    for index, (lengths, width) in enumerate(cases):
        expected = torch.cat([share(rank, lengths, width) for rank in range(WORLD)]).numpy()
        for result in results:
            np.testing.assert_array_equal(result[2 * index], expected, strict=True)
            np.testing.assert_array_equal(result[2 * index + 1], expected.astype(np.int64))


def test_one_process_gathers_itself():
    own = torch.rand(3, 2, requires_grad=True)
    (gathered,) = gather_variable(own)
    assert gathered is own


def gather_with_gradient(rank: int) -> tuple[list, list, list]:
    features = torch.full((2 + rank, 1), 10.0 * (rank + 1), requires_grad=True)
    found, labels = gather_variable(features, torch.arange(2 + rank) + 5 * rank)
    (found * torch.arange(5).unsqueeze(1) * (rank + 1)).sum().backward()
    return found.flatten().tolist(), labels.tolist(), features.grad.flatten().tolist()


def test_the_losses_of_all_ranks_reach_every_ranks_features():
    (found, labels, gradient), (other, other_labels, other_gradient) = run_on_ranks(
        WORLD, gather_with_gradient
    )
    assert found == other == [10, 10, 20, 20, 20]
    assert labels == other_labels == [0, 1, 5, 6, 7]
    # The losses have gradients of 0 .. 4 and of twice that.
    assert gradient == [0, 3] and other_gradient == [6, 9, 12]


def means(rank: int) -> list[float]:
    value = torch.tensor([3.0, 8.0][rank], requires_grad=True)
    mean = reduce_mean(value)
    return [float(mean), float(value.detach()), mean.requires_grad]


def test_mean_over_ranks_leaves_its_argument():
    assert run_on_ranks(WORLD, means) == [[5.5, 3.0, False], [5.5, 8.0, False]]
    assert reduce_mean(torch.tensor(4.0)) == 4.0


def draw(rank: int) -> tuple[int, list[int]]:
    sampler = InfiniteDrawSampler(dataset=range(10))  # no seed: the ranks must agree on one
    stream = iter(sampler)
    return sampler.seed, [next(stream).draw for _ in range(3)]


def test_ranks_agree_on_a_seed_and_share_the_draws():
    (seed, first), (other_seed, second) = run_on_ranks(WORLD, draw)
    assert seed == other_seed and (first, second) == ([0, 2, 4], [1, 3, 5])


def run_hooks(rank: int) -> dict:
    """STS, skipped samples and random states of two ranks, one of which resumes alone."""
    lines: list[str] = []
    scores: list[float] = []
    criterion = SimpleNamespace(num_classes=2, last_assignment=None)
    runner = SimpleNamespace(
        iter=0,
        timestamp="now",
        train_loop=None,
        model=SimpleNamespace(criterion=criterion),
        logger=SimpleNamespace(info=lines.append, warning=lines.append),
        visualizer=SimpleNamespace(add_scalars=lambda scalars, **_: scores.append(scalars["STS"])),
    )
    stability, skips, states = StabilityHook(), SkipReportHook(), RandomStateHook()
    torch.manual_seed(rank)
    states.before_train_iter(runner, 0)
    # Rank 0 matches class 1 with query 0, rank 1 with query 1: steady on each, not over both.
    criterion.last_assignment = torch.tensor([[1, 2], [2, 1]])[[rank]]
    stability.after_train_iter(runner, 0)
    sample = SimpleNamespace(metainfo=dict(skipped=[f"bad{rank}.wav"]))
    skips.after_train_iter(runner, 0, data_batch=dict(data_samples=[sample]))
    states.after_train_iter(runner, 0)
    checkpoint = dict(stability_counts=stability.collect(), random_states=states.collect())

    resumed = StabilityHook()
    runner.iter = 1
    resumed.after_load_checkpoint(runner, checkpoint)
    resumed.before_train(runner)
    criterion.last_assignment = torch.tensor([[1, 2]])
    resumed.after_train_iter(runner, 1)
    for hook in (stability, resumed, skips):
        hook.after_train_epoch(runner)
    torch_states = [state["torch"].tolist() for state in checkpoint["random_states"]]
    return dict(scores=scores, skipped=lines[-1], torch_states=torch_states)


def test_hooks_report_and_save_what_all_ranks_saw():
    first, second = run_on_ranks(WORLD, run_hooks)
    assert first == second
    resumed = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))  # two more for query 0
    assert first["scores"] == pytest.approx([np.log(2), resumed])
    assert "2 since the last report" in first["skipped"]
    assert "bad0.wav" in first["skipped"] and "bad1.wav" in first["skipped"]
    assert len(first["torch_states"]) == 2
    assert first["torch_states"][0] != first["torch_states"][1]


def train_with_a_frozen_part(rank: int, share: slice, epochs: range) -> list[list[float]]:
    """Weights of backbone and head after each epoch of one step; alone, or a rank of several."""
    torch.manual_seed(0)
    model = nn.Sequential(
        OrderedDict(backbone=nn.Linear(3, 2, bias=False), head=nn.Linear(2, 1, bias=False))
    )
    together = dist.is_initialized() and dist.get_world_size() > 1
    found = dict(broadcast_buffers=False, find_unused_parameters=True)  # as the runner wraps it
    wrapped = MMDistributedDataParallel(model, **found) if together else model
    runner = SimpleNamespace(model=wrapped, epoch=0)
    hook = FreezeHook(part="backbone", epochs=2)
    hook.before_train(runner)
    # What has a gradient of zeros instead of none would decay.
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    batch = torch.arange(12.0).reshape(4, 3).sin()[share]
    weights = []
    for runner.epoch in epochs:
        hook.before_train_epoch(runner)
        wrapped(batch).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        weights.append(torch.cat([one.detach().flatten() for one in model.parameters()]).tolist())
    return weights


def half_of_the_batch(rank: int, epochs: range) -> list[list[float]]:
    return train_with_a_frozen_part(rank, slice(2 * rank, 2 * rank + 2), epochs)


@pytest.mark.parametrize("epochs", [range(4), range(3, 5)], ids=["from the start", "resumed"])
def test_a_part_that_is_frozen_at_first_learns_from_all_ranks_afterwards(epochs):
    alone = np.array(train_with_a_frozen_part(0, slice(4), epochs))
    first, second = run_on_ranks(WORLD, half_of_the_batch, epochs)
    assert first == second
    np.testing.assert_allclose(first, alone, rtol=1e-5)
    backbone, head = alone[:, :6], alone[:, 6:]
    frozen = sum(epoch < 2 for epoch in epochs)
    assert (backbone[:frozen] == backbone[:1]).all()
    assert all(
        (np.diff(part[max(frozen - 1, 0) :], axis=0) != 0).all() for part in (backbone, head)
    )


def test_two_ranks_train_like_one_process_with_the_same_global_batch(tmp_path: Path):
    # Without the prompted path, which mixes the sounds of a rank's batch and draws at random, and
    # on a grid of points; the bank is large enough to keep everything.
    model = tiny_model_cfg(
        criterion=dict(
            set_loss=dict(points=dict(type="grid")),
            mixture=dict(bank_size=512, max_per_push=512, momentum=0.5),
            prompting=None,
        )
    )
    alone, together = tmp_path / "alone", tmp_path / "together"
    config = write_config(tmp_path / "four.py", model, batch_size=4, max_iters=7)
    running = start(config, alone)
    config = write_config(tmp_path / "two.py", model, batch_size=2, max_iters=7)
    finish(start(config, together, ranks=2), together)
    finish(running, alone)
    for whole, *shares in zip(
        steps(alone), *(steps(together, rank) for rank in (0, 1)), strict=True
    ):
        assert sorted(whole["samples"]) == sorted(sum((s["samples"] for s in shares), []))
        mean = {
            name: np.mean([share["losses"][name] for share in shares]) for name in whole["losses"]
        }
        assert mean == pytest.approx(whole["losses"], rel=1e-4)


def test_two_ranks_hold_the_same_bank_and_mixtures_after_every_step(tmp_path: Path):
    config = write_config(tmp_path / "config.py", tiny_model_cfg(), batch_size=2, max_iters=7)
    finish(start(config, tmp_path, ranks=2), tmp_path)
    first, second = steps(tmp_path, 0), steps(tmp_path, 1)
    assert len(first) == 7
    for left, right in zip(first, second, strict=True):
        assert left["losses"] != right["losses"]  # they see different samples
        assert left["state"] == right["state"]  # parameters, mixtures and bank
    means = next(name for name in first[0]["state"] if name.endswith("classifier.means"))
    samples = next(name for name in first[0]["state"] if name.endswith("bank.samples"))
    # EM in steps 3 and 6; the bank in each.
    assert len({step["state"][means] for step in first}) == 3
    assert len({step["state"][samples] for step in first}) == 7
