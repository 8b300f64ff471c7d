"""Splits of a set: whole groups, by a hash, the same whatever comes to it."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projects.cpm_avs.datasets.avs_dataset import SPLITS
from projects.cpm_avs.datasets.composing.splitting import (
    Member,
    draw_splits,
    group_numbers,
    hashed_place,
)

SHARES = dict(train=0.7, val=0.1, test=0.2)


def members(name: str, count: int, **more: str) -> list[Member]:
    return [Member(name, f"{name}/{i}", **more) for i in range(count)]


def draw(all_: list[Member], shares: dict[str, float] = SHARES) -> list[str]:
    return draw_splits(all_, group_numbers([one.origin for one in all_], []), shares)


def test_groups_are_joined_by_origins_and_pairs():
    assert group_numbers(["a", "b", "a", "c", "d"], [(1, 3)]) == [0, 1, 0, 1, 2]
    assert group_numbers(["a", "b", "c", "b"], [(0, 1), (2, 3)]) == [0, 0, 0, 0]  # a chain
    assert group_numbers([], []) == []


def test_a_name_has_its_place():
    # printf dog | sha256sum begins with cd6357efdd96.
    assert hashed_place("dog") == pytest.approx(0xCD6357EFDD96 / 2**48, abs=0)
    places = sorted(hashed_place(str(i)) for i in range(2000))
    assert max(abs(place - i / 2000) for i, place in enumerate(places)) < 0.04


def test_shares_are_kept_to():
    number = Counter(draw(members("dog", 4000)))
    assert all(abs(number[split] / 4000 - SHARES[split]) < 0.02 for split in SPLITS)
    assert set(draw(members("dog", 300), dict(train=0.8, val=0.0, test=0.2))) == {"train", "test"}


@settings(max_examples=50, deadline=None)
@given(st.permutations(range(60)), st.integers(1, 59))
def test_neither_order_nor_number_matters(order, count):
    whole = members("dog", 60)
    all_ = dict(zip(whole, draw(whole), strict=True))
    some = [whole[i] for i in order][:count]
    drawn = draw(some)
    if count < 3:
        assert drawn == [all_[one] for one in some]  # nothing is moved
    moved = [one for one, split in zip(some, drawn, strict=True) if split != all_[one]]
    assert len(moved) <= 2  # where a split would have none
    if set(map(all_.get, some)) == set(SPLITS):
        assert not moved


@pytest.mark.parametrize("count", range(3, 12))
def test_three_groups_are_enough_for_all_splits(count):
    for name in map("class{}".format, range(30)):
        drawn = draw(members(name, count))
        assert set(drawn) == set(SPLITS), name
    assert all(split in SPLITS for split in draw(members("two", 2)))


def test_files_that_come_later_move_nothing():
    """Not even in a class that has so few that some were moved when they were drawn."""
    for name in map("class{}".format, range(40)):
        few = members(name, 3)
        earlier = draw(few)
        known = [Member(name, m.origin, earlier=s) for m, s in zip(few, earlier, strict=True)]
        later = draw([*members(f"other {name}", 5), *known, *members(name, 20)[3:]])
        assert later[5:8] == earlier


def test_parts_of_one_recording_stay_together():
    all_ = [Member("dog", f"freesound/{i // 4}") for i in range(400)]
    drawn = draw(all_)
    for start in range(0, 400, 4):
        assert len(set(drawn[start : start + 4])) == 1
    assert set(drawn) == set(SPLITS)


def test_a_photograph_of_several_classes_is_in_one_split_and_empties_none():
    """Two classes on the same three photographs, one of them with one photograph more."""
    for take in range(30):
        shared = [(f"{take}/{i}", name) for i in range(3) for name in ("cat", "dog")]
        all_ = [Member(name, origin) for origin, name in [*shared, (f"{take}/9", "dog")]]
        drawn = draw(all_)
        assert drawn[0:6:2] == drawn[1:6:2]
        assert set(drawn[0:6:2]) == set(SPLITS)


def test_the_sources_own_splits_are_kept_even_where_one_lacks_all():
    assert draw(members("dog", 5, given="val")) == ["val"] * 5
    mixed = [*members("dog", 20, given="test"), Member("dog", "dog/3"), *members("cat", 9)]
    drawn = draw(mixed)
    assert drawn[:21] == ["test"] * 21 and set(drawn[21:]) == set(SPLITS)


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_of_contradicting_splits_the_test_split_counts(order):
    all_ = [Member("dog", "x", given=split) for split in SPLITS]
    drawn = draw([all_[i] for i in order])
    assert drawn == ["test" if i == 2 else "" for i in order]
    assert draw([all_[0], all_[1], Member("dog", "x")]) == ["", "val", "val"]


def test_what_was_in_the_test_split_before_stays_there():
    """A new file joins two groups: the one in the training split moves, which hides nothing."""
    all_ = [Member("dog", "a", earlier="train"), Member("dog", "b", earlier="test")]
    joined = group_numbers(["a", "b", "c"], [(0, 2), (1, 2)])
    assert draw_splits([*all_, Member("dog", "c")], joined, SHARES) == ["test"] * 3
