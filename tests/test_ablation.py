"""The table of the ablation: what is run, what is kept, how it is summed up."""

import importlib.util
import json
from pathlib import Path

import pytest

_PATH = Path(__file__).resolve().parents[1] / "tools" / "ablation.py"
_SPEC = importlib.util.spec_from_file_location("ablation", _PATH)
ablation = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ablation)

SCORES = {"dataset/mIoU": 40.0, "dataset/F": 50.0, "avsbench/J&F": 30.0, "coverage": 0.5}


@pytest.fixture
def tools(monkeypatch):
    """Stands in for the tools: leaves the logs that they would write, and notes the calls."""
    calls = []

    def call(tool: str, *arguments: object) -> None:
        calls.append((tool, *map(str, arguments)))
        folder = Path(arguments[arguments.index("--work-dir") + 1])
        seed = int(next(path for path in folder.parts if path.startswith("seed"))[4:])
        if tool == "tools/train.py":
            log = folder / "20260101_000000" / "vis_data" / "scalars.json"
            log.parent.mkdir(parents=True)
            lines = [dict(time=t, iter=10 * t, step=10 * t) for t in (1, 2, 9)]
            lines += [dict(STS=0.9, step=50), dict(STS=0.5, step=90)]
            log.write_text("".join(json.dumps(line) + "\n" for line in lines))
            (folder / "last_checkpoint").write_text("iter_90.pth")
        else:
            log = folder / "20260101_000001" / "20260101_000001.json"
            log.parent.mkdir(parents=True)
            log.write_text(json.dumps({**SCORES, "dataset/mIoU": 40.0 + seed}))

    monkeypatch.setattr(ablation, "call", call)
    return calls


def test_rows_are_trained_tested_and_summed_up(tools, tmp_path):
    arguments = ["--rows", "baseline", "cpm", "--work-dir", str(tmp_path / "runs")]
    arguments += ["--out", str(tmp_path / "docs" / "ablation")]
    ablation.main([*arguments, "--seeds", "0", "2"])
    table = json.loads((tmp_path / "docs" / "ablation.json").read_text())
    assert list(table) == ["baseline", "cpm"]
    assert table["cpm"]["mIoU"] == dict(mean=41.0, std=pytest.approx(2**0.5), n=2)
    assert table["cpm"]["STS"] == dict(mean=0.5, std=0.0, n=2)
    assert table["cpm"]["seconds"]["mean"] == 2
    assert "| `baseline` | 2 | 41 ± 1.4 |" in (tmp_path / "docs" / "ablation.md").read_text()
    trained = [call for call in tools if call[0] == "tools/train.py"]
    assert [call[1] for call in trained[:2]] == [
        "configs/ablation/cpm_mbv2-yamnet_stamps_baseline.py",
        "configs/cpm_mbv2-yamnet_stamps.py",
    ]
    assert all("--resume" in call for call in trained)
    assert [call[-1] for call in trained] == [f"randomness.seed={s}" for s in (0, 0, 2, 2)]

    tools.clear()
    ablation.main([*arguments, "--seeds", "0", "2"])
    assert tools == []  # nothing that is finished is run again


def test_m3_is_the_full_model_and_shares_its_run(tools, tmp_path):
    out = str(tmp_path / "ablation")
    ablation.main(
        ["--rows", "cpm", "m3", "--seeds", "1", "--work-dir", str(tmp_path), "--out", out]
    )
    assert len(tools) == 2  # one training, one test
    table = json.loads(Path(f"{out}.json").read_text())
    assert table["m3"] == table["cpm"]
