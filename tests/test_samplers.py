"""Draws: the same whatever the ranks, the workers and the point at which a run resumed."""

import pickle
from itertools import islice

import pytest
from mmengine.registry import DefaultScope
from mmengine.runner.loops import _InfiniteDataloaderIterator
from mmseg.registry import DATA_SAMPLERS
from sampler_ranks import ranks
from torch.utils.data import DataLoader

from projects.cpm_avs.datasets.samplers import EpochDrawSampler, InfiniteDrawSampler


def pairs(indices) -> list[tuple[int, int]]:
    return [(int(index), index.draw) for index in indices]


@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_global_batches_do_not_depend_on_the_number_of_ranks(monkeypatch, world_size):
    (alone,) = ranks(monkeypatch, InfiniteDrawSampler, 1, size=7)
    together = ranks(monkeypatch, InfiniteDrawSampler, world_size, size=7)
    batch = 12
    expected = islice(alone, 4 * batch)
    streams = [iter(sampler) for sampler in together]
    for _ in range(4):
        shares = [pairs(islice(stream, batch // world_size)) for stream in streams]
        # Interleaved, the shares are the one process's batch in its order.
        merged = [share[k] for k in range(batch // world_size) for share in shares]
        assert merged == pairs(islice(expected, batch))


def test_every_epoch_holds_each_sample_once_in_an_order_of_its_own(monkeypatch):
    (sampler,) = ranks(monkeypatch, InfiniteDrawSampler, 1, size=50)
    first, second = (pairs(islice(stream, 50)) for stream in [iter(sampler)] * 2)
    assert sorted(value for value, _ in first) == sorted(value for value, _ in second)
    assert sorted(value for value, _ in first) == list(range(50))
    assert [value for value, _ in first] != [value for value, _ in second]
    assert [draw for _, draw in first + second] == list(range(100))


def test_the_seed_chooses_the_order(monkeypatch):
    orders = [
        pairs(islice(*ranks(monkeypatch, InfiniteDrawSampler, 1, 20, seed), 20))
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize("skipped", [0, 1, 6, 7, 23])
def test_skipping_equals_drawing_and_throwing_away(monkeypatch, skipped):
    for rank in (0, 1):
        whole = ranks(monkeypatch, InfiniteDrawSampler, 2, size=7)[rank]
        resumed = ranks(monkeypatch, InfiniteDrawSampler, 2, size=7)[rank]
        resumed.skip(skipped)
        resumed.skip(skipped)  # absolute, as MMEngine's contract says
        assert pairs(islice(resumed, 20)) == pairs(islice(whole, skipped, skipped + 20))


def test_skipping_backwards_is_refused(monkeypatch):
    (sampler,) = ranks(monkeypatch, InfiniteDrawSampler, 1, size=3)
    with pytest.raises(ValueError, match="-1"):
        sampler.skip(-1)


class Recording(list):
    """A set that notes what is loaded."""

    def __getitem__(self, index):
        self.append((int(index), index.draw))
        return int(index), index.draw

    def __len__(self):
        return 5


def test_a_resumed_loader_loads_nothing_of_what_it_skips():
    dataset = Recording()
    sampler = InfiniteDrawSampler(dataset=dataset, seed=0)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=list)
    iterator = _InfiniteDataloaderIterator(loader)
    iterator.skip_iter(4)
    assert [draw for _, draw in next(iterator)] == [8, 9]
    assert [draw for _, draw in list.__iter__(dataset)] == [8, 9]


def test_epochs_over_ranks_cover_the_set_and_end_together(monkeypatch):
    (alone,) = ranks(monkeypatch, EpochDrawSampler, 1, size=7)
    together = ranks(monkeypatch, EpochDrawSampler, 3, size=7)
    for epoch in (0, 2):
        for sampler in (alone, *together):
            sampler.set_epoch(epoch)
        expected = pairs(alone)
        shares = [pairs(sampler) for sampler in together]
        assert [len(share) for share in shares] == [len(sampler) for sampler in together] == [3] * 3
        merged = [share[k] for k in range(3) for share in shares]
        assert merged == expected + expected[:2]  # 7 = 3 * 3 - 2: two draws are repeated
        assert [draw for _, draw in expected] == list(range(7 * epoch, 7 * epoch + 7))
        assert sorted(value for value, _ in expected) == list(range(7))


def test_both_samplers_draw_the_same(monkeypatch):
    (infinite,) = ranks(monkeypatch, InfiniteDrawSampler, 1, size=9, seed=4)
    (by_epoch,) = ranks(monkeypatch, EpochDrawSampler, 1, size=9, seed=4)
    by_epoch.set_epoch(3)
    infinite.skip(27)
    assert pairs(by_epoch) == pairs(islice(infinite, 9))


def test_workers_get_the_draw(monkeypatch):
    (sampler,) = ranks(monkeypatch, EpochDrawSampler, 1, size=3)
    sampler.set_epoch(5)
    assert pairs(pickle.loads(pickle.dumps(list(sampler)))) == pairs(sampler)


@pytest.mark.parametrize("name", ["InfiniteDrawSampler", "EpochDrawSampler"])
def test_an_empty_set_is_an_error_with_a_remedy(name):
    # As in a run, whatever scope the tests before this one have left.
    scope = DefaultScope.overwrite_default_scope("mmseg")
    with scope, pytest.raises(ValueError, match="0 samples: check"):
        DATA_SAMPLERS.build(dict(type=name, dataset=[], seed=0))
