"""Samplers as the ranks of a run have them."""

import pytest

from projects.cpm_avs.datasets import samplers


def ranks(monkeypatch: pytest.MonkeyPatch, kind: type, world_size: int, size: int, seed: int = 0):
    """The samplers of all ranks of a run."""
    made = []
    for rank in range(world_size):
        monkeypatch.setattr(samplers, "get_dist_info", lambda rank=rank: (rank, world_size))
        made.append(kind(dataset=range(size), seed=seed))
    return made
