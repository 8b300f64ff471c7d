"""Imports during which nothing is looked through for garbage."""

import gc

import pytest

from projects.cpm_avs.garbage import no_garbage


def test_what_is_made_is_neither_looked_through_now_nor_later():
    frozen = gc.get_freeze_count()
    with no_garbage():
        assert not gc.isenabled()
        made = [[] for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(made)


def test_who_looks_for_no_garbage_is_left_alone():
    gc.disable()
    try:
        with pytest.raises(ImportError), no_garbage():
            raise ImportError
        assert not gc.isenabled()
    finally:
        gc.enable()
