"""The ablation: what is run, what is kept, how it is summed up and drawn."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from mmengine.config import Config

from projects.cpm_avs.ablation import runs as ablation_runs
from projects.cpm_avs.ablation.figure import curves_figure
from projects.cpm_avs.ablation.records import RunRecord, recorded
from projects.cpm_avs.ablation.report import additions_markdown, markdown, write_report
from projects.cpm_avs.ablation.rows import STUDIES, Addition
from projects.cpm_avs.ablation.summary import (
    against,
    iterations_to,
    last_quarter_gain,
    summarise,
)
from projects.cpm_avs.commands import ablation

pytestmark = pytest.mark.usefixtures("bases_read_once")

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
SCORES = {"dataset/mIoU": 40.0, "dataset/F": 50.0, "avsbench/J&F": 30.0, "coverage": 0.5}


@pytest.fixture
def tools(monkeypatch):
    """Stands in for the tools: leaves the logs that they would write, and notes the calls."""
    calls = []

    def call(self: object, tool: str, *arguments: object, output: Path) -> None:
        arguments = tuple(map(str, arguments))
        calls.append((tool, *arguments))
        folder = Path(arguments[arguments.index("--work-dir") + 1])
        seed = int(next(path for path in folder.parts if path.startswith("seed"))[4:])
        if tool == "tools/train.py":
            log = folder / "20260101_000000" / "vis_data" / "scalars.json"
            log.parent.mkdir(parents=True)
            lines = [dict(time=t, iter=10 * t, step=10 * t) for t in (1, 2, 9)]
            lines += [dict(STS=0.9, step=50), dict(STS=0.5, step=90)]
            lines += [{"dataset/mIoU": 20 + seed, "coverage": 0.1, "time": 70, "step": 100}]
            lines += [dict(time=3, iter=150, step=150)]
            separation = {"ACP/ratio_error": 0.2, "ACP/deaf_ratio_error": 0.1 * seed}
            lines += [separation | {"ACP/si_sdr_improvement": 0.6, "step": 200}]
            lines += [{"dataset/mIoU": 35 + seed, "coverage": 0.4, "time": 70, "step": 200}]
            log.write_text("".join(json.dumps(line) + "\n" for line in lines))
            (folder / "last_checkpoint").write_text("iter_200.pth")
        else:
            sound = arguments[arguments.index("--audio") + 1]
            log = folder / "20260101_000001" / "20260101_000001.json"
            log.parent.mkdir(parents=True)
            scores = {**SCORES, "dataset/mIoU": 40.0 + seed}
            if "test_dataloader.dataset.subset=ss" in arguments:
                scores["dataset/mIoU"] += 7
            if "test_dataloader.dataset.num_objects=8" in arguments:
                assert "test_dataloader.dataset.num_sounding=[4]" in arguments
                scores["dataset/mIoU"] -= 9
            if sound != "normal":
                scores = {
                    "dataset/mIoU": 3.0,
                    f"robustness/{sound}/frame_FPR": 8.0,
                    f"robustness/{sound}/pixel_FPR": 1.0,
                }
            log.write_text(json.dumps(scores))

    monkeypatch.setattr(ablation_runs.Tools, "call", call)
    return calls


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made and not drawn, where nobody looks at them: that takes seconds."""
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: Path(path).touch())


def test_rows_are_trained_tested_and_summed_up(tools, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    arguments = ["--rows", "baseline", "ccdm", "--work-dir", "runs"]
    arguments += ["--out", str(tmp_path / "docs" / "ablation"), "--seeds", "0", "2"]
    ablation.main(arguments)
    table = json.loads((tmp_path / "docs" / "ablation.json").read_text())
    assert list(table) == ["baseline", "ccdm"]
    assert table["ccdm"]["mIoU"] == dict(mean=41.0, std=pytest.approx(2**0.5), n=2)
    assert table["ccdm"]["STS"] == dict(mean=0.5, std=0.0, n=2)
    assert table["ccdm"]["seconds"]["mean"] == 2.5  # of 1, 2, 9 and 3; not the validations' 70
    assert table["ccdm"]["ratio_error"]["mean"] == 0.2
    assert table["baseline"]["mIoU_silence"]["mean"] == 3
    assert table["baseline"]["mIoU_ss"]["mean"] == 48
    assert table["baseline"]["mIoU_crowd"]["mean"] == 32
    assert not {"mIoU_silence", "mIoU_ss"} & set(table["ccdm"])
    page = (tmp_path / "docs" / "ablation.md").read_text()
    assert "| `ccdm` | 2 | 41.0 ± 1.4 |" in page and "(ablation.png)" in page
    assert "The trainings have\n200 iterations." in page
    added, _, scenes, sounds, separation = page.split("\n## ")[1:]
    assert "| CCDM (`baseline` to `ccdm`) | +0.0 | 0.0 | +0.0, +0.0 | +1.08 |" in added
    assert "| `baseline` | 2 | 48.0 ± 1.4 | 32.0 ± 1.4 |" in scenes
    assert "ccdm" not in scenes
    assert "| `baseline` | 2 | 3.0 ± 0.0 |" in sounds and "ccdm" not in sounds
    assert "| error of the ratio | without hearing | SI-SDR improvement, dB |" in separation
    assert "| `ccdm` | 2 | 0.200 ± 0.000 | 0.100 ± 0.141 | 0.60 ± 0.00 |" in separation
    assert (tmp_path / "docs" / "ablation.png").stat().st_size > 10_000
    runs = json.loads((tmp_path / "docs" / "ablation_runs.json").read_text())
    assert [(run["row"], run["seed"]) for run in runs] == [
        ("baseline", 0), ("baseline", 2), ("ccdm", 0), ("ccdm", 2)
    ]  # fmt: skip
    assert runs[1]["curves"]["mIoU"] == [[100, 22], [200, 37]]
    trained = [call for call in tools if call[0] == "tools/train.py"]
    assert [call[1] for call in trained[:2]] == [
        "configs/ablation/cpm_mbv2-yamnet_stamps_baseline.py",
        "configs/ablation/cpm_mbv2-yamnet_stamps_ccdm.py",
    ]
    assert all("--resume" in call for call in trained)
    assert [call[-1] for call in trained] == [f"randomness.seed={s}" for s in (0, 0, 2, 2)]
    # The tools run in the repository's root, wherever the command is given.
    assert all(str(tmp_path / "runs") in call[call.index("--work-dir") + 1] for call in tools)

    tools.clear()
    request.getfixturevalue("undrawn")
    ablation.main(arguments)
    assert tools == []  # nothing that is finished is run again

    # A test that is missing, as after an update of the tool, is made up for without a training.
    before = (tmp_path / "docs" / "ablation_runs.json").read_text()
    shutil.rmtree(next(tmp_path.glob("runs/*_baseline/seed2/test-ss")))
    ablation.main(arguments)
    (call,) = tools
    assert call[0] == "tools/test.py"
    folder = next(tmp_path.glob("runs/*_baseline/seed2"))
    assert call[2] == str(folder / "iter_200.pth")
    assert "test_dataloader.dataset.subset=ss" in call and "normal" in call
    assert (tmp_path / "docs" / "ablation_runs.json").read_text() == before


def test_rows_are_added_without_the_earlier_work_folder(tools, undrawn, tmp_path):
    def run(*rows: str, seeds: str, folder: str) -> list[tuple[str, int]]:
        out, work_dir = str(tmp_path / "table"), str(tmp_path / folder)
        arguments = ["--rows", *rows, "--seeds", *seeds, "--work-dir", work_dir, "--out", out]
        ablation.main(arguments)
        runs = json.loads((tmp_path / "table_runs.json").read_text())
        return [(run["row"], run["seed"]) for run in runs]

    assert run("ccdm", seeds="01", folder="first") == [("ccdm", 0), ("ccdm", 1)]
    tools.clear()
    held = run("baseline", "ccdm", seeds="02", folder="second")
    assert held == [("baseline", 0), ("baseline", 2), ("ccdm", 0), ("ccdm", 1), ("ccdm", 2)]
    trained = [call[-1] for call in tools if call[0] == "tools/train.py" and "_ccdm" in call[1]]
    assert trained == ["randomness.seed=2"]

    # The runs alone make the page again.
    tools.clear()
    (tmp_path / "table.md").unlink()
    assert run("ccdm", seeds="0", folder="gone") == held and tools == []
    assert (tmp_path / "table.md").exists()

    path = tmp_path / "table_runs.json"
    before = path.read_text()
    path.write_text(before.replace("[200, ", "[400, "))
    with pytest.raises(SystemExit, match=r"200 and 400 iterations .*table_runs\.json"):
        run("ccdm", seeds="3", folder="third")
    path.write_text("{")
    with pytest.raises(SystemExit, match=r"table_runs\.json is no report of this tool"):
        run("ccdm", seeds="0", folder="third")


def test_m3_is_the_full_model_and_shares_its_run(tools, undrawn, tmp_path):
    out = str(tmp_path / "ablation-1.2")
    ablation.main(
        ["--rows", "cpm", "m3", "--seeds", "1", "--work-dir", str(tmp_path), "--out", out]
    )
    assert [call[0] for call in tools] == ["tools/train.py"] + ["tools/test.py"] * 6
    table = json.loads(Path(f"{out}.json").read_text())
    assert table["m3"] == table["cpm"]
    written = {path.name for path in tmp_path.glob("ablation*")}
    assert written == {f"ablation-1.2{end}" for end in (".json", ".md", ".png", "_runs.json")}


def test_rows_on_photographs_have_configs_of_their_own(tools, undrawn, tmp_path):
    arguments = ["--data", "real", "--rows", "baseline", "cpm", "--seeds", "0"]
    ablation.main([*arguments, "--work-dir", str(tmp_path), "--out", str(tmp_path / "real")])
    assert [call[1] for call in tools if call[0] == "tools/train.py"] == [
        "configs/ablation/cpm_efflite0-yamnet_real-ms_baseline.py",
        "configs/cpm_efflite0-yamnet_real-ms.py",
    ]
    page = (tmp_path / "real.md").read_text()
    assert page.startswith("# The ablation on photographs and recordings, `ms`\n")


def test_methods_are_rows_of_a_study_of_their_own(tools, undrawn, tmp_path, capsys):
    arguments = ["--data", "methods", "--seeds", "1", "--work-dir", str(tmp_path)]
    ablation.main([*arguments, "--rows", "tpavi", "baseline", "--out", str(tmp_path / "methods")])
    assert [call[1] for call in tools if call[0] == "tools/train.py"] == [
        "configs/baselines/tpavi_mbv2-yamnet_stamps.py",
        "configs/ablation/cpm_mbv2-yamnet_stamps_baseline.py",
    ]
    table = json.loads((tmp_path / "methods.json").read_text())
    assert table["tpavi"]["false_frames_silence"]["mean"] == 8
    page = (tmp_path / "methods.md").read_text()
    assert "AVSegFormer*" in page and "m3" not in page
    with pytest.raises(SystemExit):
        ablation.main([*arguments, "--rows", "m5", "--out", str(tmp_path / "methods")])
    assert "--data methods has no m5; choose from tpavi, av" in capsys.readouterr().err
    # A report is of one study, and is told so before anything is trained.
    tools.clear()
    with pytest.raises(SystemExit):
        ablation.main(["--rows", "ccdm", "--out", str(tmp_path / "methods")])
    assert "methods_runs.json has rows of another study, tpavi" in capsys.readouterr().err
    assert tools == []


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_the_rows_of_a_study_see_the_same_scenes_for_as_long(study):
    folder = Path(__file__).resolve().parents[1] / "configs"
    first, *others = [Config.fromfile(folder / f"{name}.py") for name in study.configs.values()]
    for cfg in (first, *others):
        for loader in LOADERS:
            # Of what is heard, and when: the scene is the same.
            cfg[loader].dataset.pop("num_channels", None)
            cfg[loader].dataset.pipeline = [
                step.get("load", step) for step in cfg[loader].dataset.pipeline
            ]
    for cfg in others:
        assert cfg.train_cfg == first.train_cfg and cfg.randomness == first.randomness
        assert all(cfg[loader] == first[loader] for loader in LOADERS)
    assert set(study.compared) <= set(study.configs)


_FAILS_BESIDE_ANOTHER = """
import pathlib, sys, time
begun = pathlib.Path("begun")  # by the run beside the one that fails
if "baseline" in sys.argv[1]:
    while not begun.exists():
        time.sleep(0.01)
    sys.exit("no weights")
begun.touch()
time.sleep(600)
"""


def test_a_run_that_fails_names_its_output_and_stops_the_rest(monkeypatch, tmp_path):
    monkeypatch.setattr(ablation_runs, "ROOT", tmp_path)
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "train.py").write_text(_FAILS_BESIDE_ANOTHER)
    before = time.monotonic()
    with pytest.raises(SystemExit, match=r"tools/train.py ended with 1; .*seed0/output.txt"):
        ablation.main(
            ["--rows", "baseline", "ccdm", "cpm", "--seeds", "0", "--jobs", "2"]
            + ["--work-dir", str(tmp_path / "runs"), "--out", str(tmp_path / "table")]
        )
    assert time.monotonic() - before < 300  # the others were ended
    assert "no weights" in next(tmp_path.glob("runs/*_baseline/seed0/output.txt")).read_text()


def test_what_a_curve_says():
    curve = [(100, 10.0), (200, 30.0), (300, 38.0), (400, 41.0)]
    assert last_quarter_gain(curve) == 3.0
    assert iterations_to(curve, 38.0) == 300
    assert iterations_to(curve, 41.5) == float("inf")
    assert last_quarter_gain(curve[3:]) is None


def _record(row: str, seed: int, values: tuple[float, float]) -> RunRecord:
    points = list(zip((100, 200), values, strict=True))
    curves = dict(mIoU=points, STS=points, coverage=points)
    return RunRecord(row, seed, dict(mIoU=values[1] + 1), curves)


def test_the_lead_is_counted_against_the_baseline_of_the_same_seed():
    records = [
        _record("baseline", 0, (10, 30)),
        _record("baseline", 1, (10, 50)),
        _record("cpm", 0, (30, 55)),  # at the baseline's 30 after 100
        _record("cpm", 1, (30, 55)),  # at its 50 after 200
        _record("point", 1, (10, 45)),  # never
    ]
    table = summarise(records)
    assert table["cpm"]["iterations_to_baseline"]["mean"] == 150
    assert table["cpm"]["mIoU_over_baseline"] == dict(mean=15, std=pytest.approx(200**0.5), n=2)
    assert "iterations_to_baseline" not in table["point"]
    assert table["point"]["mIoU_over_baseline"] == dict(mean=-5, std=0.0, n=1)
    assert not {"mIoU_over_baseline", "sts_below_baseline"} & table["baseline"].keys()
    assert table["cpm"]["last_quarter_gain"]["mean"] == 25
    lines = markdown(table).splitlines()
    assert lines[2].startswith("| row | seeds | mIoU | mIoU over the baseline | % of epochs with")
    assert lines[5] == "| `cpm` | 2 | 56.0 ± 0.0 | 15.0 ± 14.1 | 0 ± 0 | 25.0 ± 0.0 | 150 ± 71 |"
    assert lines[6] == "| `point` | 1 | 46.0 | -5.0 | 100 | 35.0 | - |"
    assert [line for line in lines if line.startswith("#")] == ["## Scores"]  # nothing else known


@pytest.mark.parametrize(
    ("name", "study"),
    [("ablation", "stamps"), ("ablation-1200", "stamps"), ("ablation-744", "stamps")]
    + [("ablation-scenes", "stamps"), ("methods", "methods")],
)
def test_runs_before_a_measure_was_known_make_the_page_they_made(name, study, tmp_path):
    docs = Path(__file__).resolve().parents[1] / "docs"
    for beside in docs.glob(f"{name}_*.json"):  # rates and costs
        shutil.copy(beside, tmp_path)
    write_report(recorded(docs / name), tmp_path / name, STUDIES[study])
    for ending in (".md", ".json", "_runs.json"):
        assert (tmp_path / f"{name}{ending}").read_text() == (docs / f"{name}{ending}").read_text()


def test_what_a_part_adds_is_counted_by_seed():
    last = {("baseline", 0): 30, ("baseline", 1): 50, ("ccdm", 0): 34, ("ccdm", 1): 48}
    last |= {("cpm", 1): 51}
    records = [_record(row, seed, (10, value)) for (row, seed), value in last.items()]
    added = [Addition("GMM", "baseline", "ccdm", 1.08), Addition("PCL", "ccdm", "cpm", 0.84)]
    *_, two_seeds, one_seed = additions_markdown(records, added).strip().split("\n")
    # +4 and -2: the mean is 1, the deviation the root of 18, the standard error 3.
    assert two_seeds == "| GMM (`baseline` to `ccdm`) | +1.0 | 3.0 | +4.0, -2.0 | +1.08 |"
    assert one_seed == "| PCL (`ccdm` to `cpm`) | +3.0 | - | +3.0 | +0.84 |"
    assert additions_markdown(records[:2], added) == ""


def test_the_lead_on_other_scenes_is_that_of_runs_tested_on_them():
    baseline, row = _record("baseline", 0, (10, 30)), _record("cpm", 0, (10, 33))
    assert "mIoU_ss_over_baseline" not in against(row, baseline)
    baseline.scores["mIoU_ss"] = 50
    assert "mIoU_ss_over_baseline" not in against(row, baseline)
    row.scores["mIoU_ss"] = 57
    assert against(row, baseline)["mIoU_ss_over_baseline"] == 7
    assert "| `cpm` | 1 | 57.0 | 7.0 |" in markdown(summarise([baseline, row]))


def test_steadiness_is_compared_epoch_by_epoch_after_the_first():
    baseline = _record("baseline", 0, (10, 30))
    baseline.curves["STS"] = [(50, 2.0), (100, 1.5), (150, 1.0), (200, 0.5)]
    row = _record("cpm", 0, (10, 30))
    row.curves["STS"] = [(50, 2.5), (100, 1.4), (150, 1.1), (200, 0.4)]
    assert against(row, baseline)["sts_below_baseline"] == pytest.approx(200 / 3)


def test_figure_shows_means_and_bands_of_all_rows():
    records = [
        _record("baseline", 0, (10, 30)),
        _record("baseline", 1, (20, 50)),
        _record("m1", 0, (5, 6)),
    ]
    figure = curves_figure(records, solid=("baseline", "cpm"))
    axis = figure.axes[0]
    mean, single = axis.lines
    assert list(mean.get_ydata()) == [15, 40]
    assert (mean.get_linestyle(), single.get_linestyle()) == ("-", "--")
    low, high = axis.collections[0].get_paths()[0].get_extents().intervaly
    assert (low, high) == (10, 50)
    assert len(axis.collections) == 1  # one seed has no band
    assert len(figure.axes) == 3  # nothing was tested on other scenes


def test_figure_shows_the_lead_by_the_number_of_sounding_objects():
    records = []
    for seed, lead in enumerate((1, 3)):
        baseline, row = _record("baseline", seed, (10, 30)), _record("cpm", seed, (10, 30 + lead))
        baseline.scores |= dict(mIoU_ss=50, mIoU_crowd=20)
        row.scores |= dict(mIoU_ss=50 - lead, mIoU_crowd=20 + 2 * lead)
        records += [baseline, row, _record("m1", seed, (10, 30))]
    axis = curves_figure(records, solid=("baseline", "cpm")).axes[3]
    (bars,) = axis.containers  # the baseline has no lead, m1 was not tested
    assert list(bars.lines[0].get_ydata()) == [-2, 2, 4]
    assert [label.get_text() for label in axis.get_xticklabels()] == [
        "1 of 3",
        "as trained",
        "4 of 8",
    ]
    ends = [value for segment in bars.lines[2][0].get_segments() for value in segment[:, 1]]
    # Leads of 1 and 3 have a deviation of the root of 2, and their mean an error of 1.
    assert ends == pytest.approx([-3, -1, 1, 3, 2, 6])


def test_a_method_without_queries_is_trained_tested_and_tabulated(tmp_path):
    """Its logs have neither STS nor coverage."""

    class Tools:
        def call(self, tool: str, *arguments: object, output: Path) -> None:
            folder = Path(arguments[arguments.index("--work-dir") + 1])
            if tool == "tools/train.py":
                assert arguments[0] == "configs/baselines/cavp_mbv2-yamnet_stamps.py"
                lines = [{"time": 2.0, "step": 50}, {"dataset/mIoU": 10, "step": 100}]
                lines += [{"dataset/mIoU": 33, "step": 200}]
                log = folder / "20260101_000000" / "vis_data" / "scalars.json"
                (folder / "last_checkpoint").write_text("iter_200.pth")
            else:
                lines = [{name: 44.0 for name in SCORES if name != "coverage"}]
                log = folder / "20260101_000001" / "20260101_000001.json"
            log.parent.mkdir(parents=True)
            log.write_text("".join(json.dumps(line) + "\n" for line in lines))

    alone = replace(STUDIES["methods"], compared=())
    ablation_runs.run(alone, "cavp", 0, tmp_path, [], Tools())
    (result,) = tmp_path.glob("*/seed0/result.json")
    record = RunRecord(**json.loads(result.read_text()))
    assert record.scores == {"seconds": 2.0, "mIoU": 44, "F_beta": 44, "J&F": 44}
    records = [_record("baseline", 0, (10, 30)), record]
    assert "sts_below_baseline" not in against(record, records[0])
    assert "| `cavp` | 1 | 44.0 |" in markdown(summarise(records))
    lines = curves_figure(records, solid=("baseline",)).axes
    assert [len(axis.lines[1].get_xdata()) for axis in lines] == [2, 0, 0]


def test_a_run_shorter_than_what_it_logs_is_tabulated(tmp_path):
    """As a smoke run is: nothing but the validation at its end."""
    log = tmp_path / "run" / "20260101_000000" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text(json.dumps({"dataset/mIoU": 5.0, "coverage": 0.1, "time": 70, "step": 3}))
    record = ablation_runs.trained(tmp_path / "run", RunRecord("cpm", 0, dict(mIoU=4.0)))
    assert record.scores == dict(mIoU=4.0)  # and no seconds
    write_report([record], tmp_path / "table", STUDIES["stamps"])
    page = (tmp_path / "table.md").read_text()
    assert "| `cpm` | 1 | 4.0 |" in page and "3 iterations" in page.replace("\n", " ")
