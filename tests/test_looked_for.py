"""Weights and data that a config names relative to the repository, from another folder."""

import re
from pathlib import Path

import pytest

from projects.cpm_avs.constants import REPOSITORY
from projects.cpm_avs.datasets.benchmarks.avsbench import AVSBenchS4Dataset
from projects.cpm_avs.datasets.composed.composed_dataset import ComposedDataset
from projects.cpm_avs.errors import looked_for
from projects.cpm_avs.safe_checkpoint import load_safely


def test_where_it_was_looked_for_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here, home = re.escape(str(tmp_path)), re.escape(str(REPOSITORY))
    with pytest.raises(FileNotFoundError, match=rf"^weights/no\.pth: .* for in {here}\)\. If it"):
        load_safely("weights/no.pth")
    with pytest.raises(FileNotFoundError, match=rf"{here}; it is in {home}: start the tool there"):
        load_safely("data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth")
    s4 = dict(split="test", data_root="data/no", lazy_init=True, pipeline=[])
    with pytest.raises(ValueError, match=rf"^data/no/s4_.* no index file \(looked for in {here}\)"):
        AVSBenchS4Dataset(**s4).full_init()
    with pytest.raises(ValueError, match=rf"^data/stamps.*index.* \(looked for .*it is in {home}"):
        ComposedDataset(data_root="data/stamps", subset="ss", split="test", num_scenes=1)
    assert looked_for(tmp_path / "a") == ""
