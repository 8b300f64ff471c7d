"""Learning rates that are tried for the rows of a study, and the costs of these rows."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from projects.cpm_avs.ablation import runs as ablation_runs
from projects.cpm_avs.ablation.costs import costs_markdown
from projects.cpm_avs.ablation.rates import (
    TriedRates,
    rate_settings,
    rates_markdown,
    read_rates,
    write_rates,
)
from projects.cpm_avs.ablation.records import RunRecord
from projects.cpm_avs.ablation.report import write_report
from projects.cpm_avs.ablation.rows import STUDIES
from projects.cpm_avs.commands import tune_rates

ROOT = Path(__file__).resolve().parents[1]
#: What the stand-in for a training comes to with each rate.
SCORES = {"2e-4": 30.0, "6e-4": 41.26, "1.8e-3": 38.0}


@pytest.fixture
def trainings(monkeypatch):
    """Stands in for the training: leaves the log that it would write, and notes the calls."""
    calls = []

    def call(self: object, tool: str, *arguments: object, output: Path) -> None:
        words = list(map(str, arguments))
        calls.append([tool, *words])
        folder = Path(words[words.index("--work-dir") + 1])
        assert output.parent == folder and "--resume" in words
        log = folder / "20260101_000000" / "vis_data" / "scalars.json"
        log.parent.mkdir(parents=True)
        lines = [{"time": 1.0, "iter": 10, "step": 10}]
        lines += [{"dataset/mIoU": SCORES[folder.name], "step": 600}]
        log.write_text("".join(json.dumps(line) + "\n" for line in lines))

    monkeypatch.setattr(ablation_runs.Tools, "call", call)
    return calls


def test_every_row_is_trained_with_every_rate_once(trainings, tmp_path, capsys):
    out = tmp_path / "methods"
    arguments = ["--rows", "tpavi", "cavp", "--work-dir", str(tmp_path / "runs")]
    arguments += ["--out", str(out)]
    # A run that was stopped has a log without its last validation.
    run = tmp_path / "runs" / "tpavi_mbv2-yamnet_stamps" / "seed9" / "2e-4"
    begun = run / "20250101_000000" / "vis_data" / "scalars.json"
    begun.parent.mkdir(parents=True)
    begun.write_text('{"dataset/mIoU": 5, "step": 150}\n')
    tune_rates.main(arguments)
    assert [call[1] for call in trainings] == [
        f"configs/baselines/{name}_mbv2-yamnet_stamps.py"
        for name in ("tpavi", "tpavi", "tpavi", "cavp", "cavp", "cavp")
    ]
    for call, rate in zip(trainings, [*SCORES, *SCORES], strict=True):
        assert {"randomness.seed=9", "train_cfg.val_interval=600"} < set(call)
        assert f"optim_wrapper.optimizer.lr={rate}" in call
    written = json.loads((tmp_path / "methods_rates.json").read_text())
    assert written == dict(seed=9, mIoU=dict(tpavi=SCORES, cavp=SCORES))
    assert "| `cavp` | 30.0 | **41.3** | 38.0 |" in capsys.readouterr().out

    trainings.clear()
    tune_rates.main(arguments)
    assert trainings == []
    with pytest.raises(SystemExit):
        tune_rates.main([*arguments, "--seed", "3"])
    assert "methods_rates.json is of seed 9" in capsys.readouterr().err
    other = ["--seed", "3", "--rates", "2e-4", "--out", str(tmp_path / "other")]
    tune_rates.main([*arguments, *other])
    assert len(trainings) == 2 and all("randomness.seed=3" in call for call in trainings)
    (tmp_path / "methods_rates.json").write_text("[]")
    with pytest.raises(SystemExit, match=r"methods_rates.json is none of tools/tune_rates.py"):
        tune_rates.main(arguments)


def test_an_optimiser_beside_the_first_keeps_its_share():
    cfg = Config.fromfile(ROOT / "configs/baselines/cavp_mbv2-yamnet_stamps.py")
    cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.paramwise_cfg.sound_optimizer.lr = 2e-3, 1e-3
    assert rate_settings(cfg, "1.8e-3") == [
        "optim_wrapper.optimizer.lr=1.8e-3",
        "optim_wrapper.paramwise_cfg.sound_optimizer.lr=0.0009",
    ]
    alone = Config.fromfile(ROOT / "configs/cpm_mbv2-yamnet_stamps.py")
    assert rate_settings(alone, "2e-4") == ["optim_wrapper.optimizer.lr=2e-4"]


def test_rates_are_in_order_and_those_not_tried_are_told():
    tried = TriedRates(9, dict(a={"1.8e-3": 1.0, "6e-4": 2.0}, b={"2e-4": 3.0}))
    *_, titles, _, a, b = rates_markdown(tried).splitlines()
    assert titles == "| row | 2e-4 | 6e-4 | 1.8e-3 |"
    assert (a, b) == ("| `a` | - | **2.0** | 1.0 |", "| `b` | **3.0** | - | - |")
    assert rates_markdown(None) == ""


def measured(path: Path, **cpu_ms: float) -> None:
    """What the benchmark writes; the first model is 1."""
    first = next(iter(cpu_ms.values()))
    rows = [
        dict(model=model, batch=16, parameters_m=4.163, cpu_ms=ms, cpu_ratio=ms / first)
        for model, ms in cpu_ms.items()
    ]
    machine = dict(device="a processor", threads=1)
    path.write_text(json.dumps(dict(machine=machine, command="", rows=rows)))


def test_the_page_has_costs_and_rates_beside_the_scores(tmp_path):
    study, out = STUDIES["methods"], tmp_path / "methods"
    names = {"baseline": "cpm_mbv2-yamnet_stamps_baseline", "tpavi": "tpavi_mbv2-yamnet_stamps"}
    measured(tmp_path / "methods_train.json", **{names["tpavi"]: 500.0, names["baseline"]: 400.0})
    assert costs_markdown(study, out) == ""
    measured(tmp_path / "methods_predict.json", **{names["tpavi"]: 320.0, names["baseline"]: 160.0})
    write_rates(TriedRates(9, dict(tpavi=SCORES)), out)
    points = [(150, 10.0), (600, 30.0)]
    record = RunRecord("tpavi", 0, dict(mIoU=31.0), dict(mIoU=points, STS=[], coverage=[]))
    write_report([record], out, study)
    notes, scores, cost, rates = (tmp_path / "methods.md").read_text().split("\n## ")
    assert all(len(line) <= 100 for line in notes.splitlines())
    assert len([line for line in notes.splitlines() if line.startswith("- ")]) == 3
    assert scores.startswith("Scores\n") and "| `tpavi` | 1 | 31.0 |" in scores
    # 1.25 times the baseline's step; 16 scenes in 0.32 s are 50 a second, half of the baseline's.
    assert cost.startswith("Cost\n") and "a processor, 1 thread(s),\n16 scenes" in cost
    assert "| `tpavi` | 4.16 | 500 | 1.25 | 50 | 0.50 |" in cost
    assert "| `baseline` | 4.16 | 400 | 1.00 | 100 | 1.00 |" in cost and "cavp" not in cost
    assert rates.startswith("Rates\n") and rates.endswith("| `tpavi` | 30.0 | **41.3** | 38.0 |\n")


@pytest.mark.parametrize("row", ["tpavi", "avsegformer", "baseline"])
def test_configs_have_the_best_of_the_rates(row):
    """Not CAVP's, which learns with none of them, nor CPM's, whose table has one rate for all."""
    tried = read_rates(ROOT / "docs" / "methods")
    best = max(tried.mIoU[row], key=tried.mIoU[row].get)
    cfg = Config.fromfile(ROOT / f"configs/{STUDIES['methods'].configs[row]}.py")
    assert cfg.optim_wrapper.optimizer.lr == float(best)
