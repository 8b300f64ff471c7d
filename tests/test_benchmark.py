"""Benchmarks: what is timed, in which order, on what, and how it is told."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, OptimWrapperDict
from tiny import tiny_model_cfg
from typed_tools import tool

from projects.cpm_avs.benchmarking import steps as steps_module
from projects.cpm_avs.benchmarking.batches import made_batch
from projects.cpm_avs.benchmarking.loading import MMSEG_PIPELINE, loading_rows
from projects.cpm_avs.benchmarking.memory import held_bytes, peak_bytes
from projects.cpm_avs.benchmarking.report import show, write
from projects.cpm_avs.benchmarking.scoring import scoring_rows
from projects.cpm_avs.benchmarking.stages import STAGES, Stopwatch, stage_rows
from projects.cpm_avs.benchmarking.steps import Plan, predictions, training_steps
from projects.cpm_avs.benchmarking.subjects import mmseg_beside, of_config
from projects.cpm_avs.benchmarking.timing import Step, Timing, interleaved
from projects.cpm_avs.errors import UserError
from projects.cpm_avs.launch import read_config

ROOT = Path(__file__).resolve().parents[1]
SIZE = (64, 64)


def tiny_cfg(**model) -> Config:
    pipeline = [dict(type="LoadAudioWindow", num_samples=5120)]
    return Config(
        dict(
            model=tiny_model_cfg(**model),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-4)),
            test_dataloader=dict(dataset=dict(type="AVSDataset", pipeline=pipeline)),
        )
    )


class Clock:
    """Seconds that pass only when somebody waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(time, "process_time", lambda: self.now / 2)

    def wait(self, seconds: float) -> None:
        self.now += seconds


def test_steps_go_in_turn_and_their_preparation_takes_no_time(monkeypatch):
    clock, seen = Clock(monkeypatch), []

    def step(name: str, seconds: float) -> Step:
        def prepare() -> list[str]:
            clock.wait(100)
            return [name]

        def run(prepared: list[str]) -> None:
            seen.append(prepared.pop())  # each run needs what was prepared for it
            clock.wait(seconds)

        return Step(run, prepare)

    steps = dict(first=step("first", 2), second=step("second", 3))
    timings = interleaved(steps, runs=2, device="cpu", warm_up=1)
    assert seen == 3 * ["first", "second"]
    assert timings["first"].wall == [2, 2] and timings["second"].cpu == [1.5, 1.5]


def test_a_step_that_fails_leaves_the_others_going():
    turns = iter(range(9))

    def fail(_: None) -> None:
        if next(turns) == 1:
            raise torch.OutOfMemoryError("none left")

    timings = interleaved(dict(a=Step(fail), b=Step(len, list)), runs=3, device="cpu", warm_up=0)
    assert isinstance(timings["a"], torch.OutOfMemoryError) and next(turns) == 2
    assert len(timings["b"].wall) == 3


def test_ratios_are_of_runs_side_by_side():
    """The machine was ten times slower in the second run; both were, and nothing is told of it."""
    first, second = Timing([1, 10, 1], [1, 1, 1]), Timing([2, 20, 3], [3, 3, 3])
    assert second.ratio(first) == 2 and second.seconds == 3 and second.cpu_ratio(first) == 3


def test_peak_memory_is_the_most_at_a_time():
    def step() -> None:
        kept = torch.zeros(1000, dtype=torch.float64)  # 8,000 bytes
        torch.zeros(2000, dtype=torch.float64)  # 16,000 more, gone at once
        torch.zeros(500, dtype=torch.float64)
        del kept

    assert peak_bytes(step, "cpu") == 24_000


def test_held_memory_has_the_gradients_and_the_moments():
    subject = of_config("tiny", tiny_cfg(), device="cpu")
    parameters = sum(one.numel() for one in subject.model.parameters())
    buffers = sum(one.numel() * one.element_size() for one in subject.model.buffers())
    assert held_bytes(subject.model, subject.optimiser) == 4 * parameters + buffers
    subject.train(subject.batch(SIZE, 2))
    trained = [one for one in subject.model.parameters() if one.requires_grad]
    moments = sum(8 * one.numel() + 4 for one in trained)  # and a count of steps
    assert held_bytes(subject.model) == 4 * parameters + buffers
    assert held_bytes(subject.model, subject.optimiser) == 4 * parameters + buffers + moments


def test_the_moments_of_several_optimisers_are_held():
    layers = torch.nn.ModuleDict(dict(visual=torch.nn.Linear(3, 2), sound=torch.nn.Linear(2, 1)))
    optimisers = OptimWrapperDict(
        visual=OptimWrapper(torch.optim.SGD(layers["visual"].parameters(), 0.1, momentum=0.9)),
        sound=OptimWrapper(torch.optim.Adam(layers["sound"].parameters(), 0.1)),
    )
    layers["sound"](layers["visual"](torch.ones(1, 3))).sum().backward()
    optimisers["visual"].step()
    optimisers["sound"].step()
    # Eight and three numbers with their gradients; one moment of the one, two and two counts of
    # the other.
    assert held_bytes(layers, optimisers) == 4 * (2 * 11 + 8 + 2 * 3 + 2)


def test_three_classes_sound_in_a_sample_and_others_in_the_next():
    batch = made_batch(size=SIZE, count=2, num_classes=71, num_samples=8, channels=2)
    first, second = (set(s.gt_sem_seg.data.unique().tolist()) for s in batch["data_samples"])
    assert (first, second) == ({0, 1, 2, 3}, {0, 4, 5, 6})
    assert [one.shape for one in batch["inputs"]["waveform"]] == 2 * [(2, 8)]
    assert isinstance(made_batch(size=SIZE, count=1, num_classes=2)["inputs"], list)


def test_a_model_is_fed_with_the_sound_that_its_pipeline_loads():
    subject = of_config("tiny", tiny_cfg(audio_backbone=dict(in_channels=2)), device="cpu")
    batch = subject.batch((64, 96), 3)
    assert [one.shape for one in batch["inputs"]["waveform"]] == 3 * [(2, 5120)]
    assert {one.shape for one in batch["inputs"]["img"]} == {(3, 64, 96)}


def test_mmsegs_model_has_the_same_backbone_classes_and_queries():
    cfg = tiny_cfg()
    theirs = mmseg_beside(cfg, device="cpu")
    ours = of_config("tiny", cfg, device="cpu")
    assert [*theirs.model.backbone.state_dict()] == [*ours.model.backbone.state_dict()]
    head = theirs.model.decode_head
    assert (head.num_classes, head.num_queries) == (3, 100)
    assert type(theirs.model).__module__.startswith("mmseg.")
    losses = theirs.train(theirs.batch(SIZE, 2))
    assert losses and all(one.isfinite() for one in losses.values())
    (sample,) = theirs.predict(theirs.batch(SIZE, 1))
    assert sample.pred_sem_seg.data.shape == (1, *SIZE)


def test_rows_of_predictions_and_steps():
    plan = Plan(configs=dict(a=tiny_cfg(), b=tiny_cfg(decode_head=dict(num_queries=4))),
                sizes=[SIZE], batches=[1, 2], precisions=["fp32", "bf16"], runs=1)  # fmt: skip
    rows = list(predictions(plan))
    assert [(row["model"], row["batch"], row["precision"]) for row in rows] == [
        (model, batch, precision)
        for precision in ("fp32", "bf16")
        for batch in (1, 2)
        for model in "ab"
    ]
    for row in rows:
        assert "error" not in row and row["ms"] > 0 and row["peak_mb"] > 0
        assert row["frames_per_s"] == pytest.approx(1000 * row["batch"] / row["ms"])
        assert row["ratio"] == 1 or row["model"] == "b"
    steps = list(training_steps(plan))
    assert len(steps) == 8 and not any("error" in row for row in steps)
    # What training alone needs is no part of a model that predicts.
    assert steps[0]["parameters_m"] > rows[0]["parameters_m"]


def test_recorded_networks_and_mmsegs_stand_beside(monkeypatch):
    plan = Plan(configs=dict(a=tiny_cfg()), sizes=[SIZE], batches=[1], runs=1, memory=False,
                versus_mmseg=True, recorded=True)  # fmt: skip
    assert [row["model"] for row in predictions(plan)] == ["mmseg", "a", "a, recorded"]


def test_what_fails_says_why_and_the_others_are_measured(monkeypatch):
    plan = Plan(configs=dict(a=tiny_cfg(), b=tiny_cfg()), sizes=[SIZE], batches=[1], runs=1)
    original = steps_module.Subject.predict

    def predict(subject, batch):
        if subject.name == "a":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmuch")
        return original(subject, batch)

    monkeypatch.setattr(steps_module.Subject, "predict", predict)
    failed, measured = predictions(plan)
    assert failed["error"] == "OutOfMemoryError: CUDA out of memory. Tried to allocate"
    assert "ms" not in failed and measured["ms"] > 0
    assert "ratio" not in measured  # to what was not measured


@pytest.mark.parametrize(
    "per_second, tried",
    [
        ({1: 10, 2: 19, 4: 30, 8: 20}, [1, 2, 4, 8]),  # a larger one gains nothing
        ({1: 10, 2: 19, 4: None}, [1, 2]),  # memory ends
        ({1: 10, 2: 20, 4: 40, 8: 80, 16: 160}, [1, 2, 4, 8, 16]),  # as far as it was asked for
    ],
)
def test_the_best_batch_is_found_by_doubling(monkeypatch, per_second, tried):
    def rows(plan, what, subjects, act, size, count):
        found = per_second[count]
        yield dict(batch=count) | (dict(error="no") if found is None else dict(frames_per_s=found))

    monkeypatch.setattr(steps_module, "_rows", rows)
    plan = Plan(configs=dict(a=tiny_cfg()), sizes=[SIZE], batches=[None], most=16)
    assert [row["batch"] for row in predictions(plan)] == tried


def test_a_stage_does_not_count_those_that_it_calls(monkeypatch):
    clock = Clock(monkeypatch)
    watch = Stopwatch(lambda: None)
    with watch.stage("outer"):
        clock.wait(1)
        with watch.stage("inner"):
            clock.wait(10)
        clock.wait(2)
        with watch.stage("inner"):
            clock.wait(20)
    assert dict(watch.seconds) == dict(outer=3, inner=30)
    assert dict(watch.cpu_seconds) == dict(outer=1.5, inner=15)


def test_every_stage_is_found_in_the_model_and_left_as_it_was():
    subject = of_config("tiny", tiny_cfg(), device="cpu")
    before = {name: vars(module).keys() for name, module in subject.model.named_modules()}
    rows = list(stage_rows(subject, "train", SIZE, 2, runs=1))
    assert [row["stage"] for row in rows] == [
        *STAGES,
        "backward",
        "optimiser",
        "rest",
        "EM, when due",
    ]
    assert sum(row["share"] for row in rows[:-1]) == pytest.approx(1)
    assert {name: vars(one).keys() for name, one in subject.model.named_modules()} == before
    predicted = [row["stage"] for row in stage_rows(subject, "predict", SIZE, 2, runs=1)]
    assert predicted == [*list(STAGES)[:5], "rest"]


def test_samples_are_loaded_by_the_configs_pipelines(tmp_path):
    configs = {"avss": read_config("configs/cpm_r50_avss.py")}
    configs["stamps"] = read_config("configs/cpm_mbv2-yamnet_stamps.py")  # composes its own
    rows = list(loading_rows(configs, tmp_path, versus_mmseg=True, runs=1, size=(90, 160)))
    assert [row["model"] for row in rows] == ["mmseg", "avss", "stamps"]
    assert all(row["ms"] > 0 and row["samples_per_s"] > 0 for row in rows)


def test_mmsegs_pipeline_is_that_of_its_config():
    """But for the label 0, which ADE20K's has to drop."""
    theirs = mmseg_config().train_pipeline
    assert [dict(one) for one in theirs[2:]] == MMSEG_PIPELINE[2:]
    assert [one["type"] for one in theirs[:2]] == [one["type"] for one in MMSEG_PIPELINE[:2]]


def mmseg_config() -> Config:
    import mmseg

    folder = Path(mmseg.__file__).parent / ".mim" / "configs" / "mask2former"
    return Config.fromfile(folder / "mask2former_r50_8xb2-160k_ade20k-512x512.py")


@pytest.mark.parametrize("classes", [2, 5])
def test_scoring_is_held_against_loading(classes):
    loading, scoring = scoring_rows(frames=2, size=32, num_classes=classes)
    assert loading["cpu_s"] > 0 and scoring["cpu_s"] > 0


def test_rows_go_to_the_screen_and_to_a_file(tmp_path, capsys):
    rows = [dict(model="a", ms=1234.5678, ratio=1.0), dict(model="b", error="none")]
    show(rows)
    shown = capsys.readouterr().out
    assert "1235" in shown and "none" in shown and "error" in shown
    write(tmp_path / "rows.json", command="benchmark", device="cpu", rows=rows)
    content = json.loads((tmp_path / "rows.json").read_text())
    assert content["rows"] == rows and content["command"] == "benchmark"
    assert content["machine"]["torch"] == torch.__version__ and content["machine"]["threads"] >= 1


def test_a_setting_is_varied():
    benchmark = tool("benchmark")
    words = ["train", "configs/cpm_r50_avss-224.py", "--cfg-options", "model.merge=sum"]
    args = benchmark._parser().parse_args([*words, "--vary", "model.decode_head.num_queries=5,7"])
    found = benchmark._configs(args)
    name = "cpm_r50_avss-224, num_queries"
    assert {key: cfg.model.decode_head.num_queries for key, cfg in found.items()} == {
        f"{name} 5": 5, f"{name} 7": 7
    }  # fmt: skip
    assert {cfg.model["merge"] for cfg in found.values()} == {"sum"}
    args.vary = {"model.decode_head.num_classes": [5]}  # not the data's 71
    (cfg,) = benchmark._configs(args).values()
    assert of_config("varied", cfg, device="cpu", training=False).model.decode_head.num_classes == 5
    args.vary = {"model.decode_head.num_querys": [5]}
    with pytest.raises(ValueError, match="num_querys: the config has no such"):
        benchmark._configs(args)


def test_two_configs_of_one_name_are_refused():
    benchmark = tool("benchmark")
    args = argparse.Namespace(configs=["a/m.py", "n.py", "b/m.py"], cfg_options={}, vary={})
    with pytest.raises(UserError, match="two configs are called m"):
        benchmark._configs(args)


def test_sizes_and_batches_as_typed():
    benchmark = tool("benchmark")
    assert benchmark.size("720x1280") == (720, 1280) and benchmark.size("224") == (224, 224)
    assert benchmark.batch("best") is None and benchmark.batch("4") == 4


FAKE_PYTHON = """#!{python}
import sys
words = sys.argv[1:]
if words[0] in ("-", "-c"):  # the summary, and the question whether PyAV is there
    source = sys.stdin.read() if words[0] == "-" else words[1]
    sys.argv = words
    exec(source)
elif "train" in words:
    print("no kernel image is available")
    sys.exit(3)
elif "--json" in words:
    row = '{{"what": "predict", "model": "m", "size": "64x64", "batch": 1, "precision": "fp32", '
    row += '"ms": 2.0, "frames_per_s": 500.0, "ratio": 1.0}}'
    with open(words[words.index("--json") + 1], "w") as file:
        file.write('{{"machine": {{"device": "fake"}}, "rows": [' + row + "]}}")
"""


def test_the_gpu_check_goes_on_after_a_step_that_fails(tmp_path):
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    done = subprocess.run(
        ["bash", "tools/gpu_check.sh", "--tiny", str(tmp_path / "out")],
        cwd=ROOT,
        env=dict(os.environ, PYTHON=str(python)),
        capture_output=True,
        text=True,
    )
    content = json.loads((tmp_path / "out" / "gpu_check.json").read_text())
    steps = {step["name"]: step for step in content["steps"]}
    assert done.returncode == 1, done.stderr
    assert steps["train-small"]["status"] == 3 and steps["stages"]["status"] == 0
    assert steps["train-crop"]["output"] == ["no kernel image is available"]
    assert content["machine"] == dict(device="fake")
    assert {row["step"] for row in content["rows"]} >= {"predict-one", "predict-best", "data"}
    assert "500.0/s" in done.stdout and "no kernel image" in done.stdout
