"""The hooks of training, each on its own; test_resume.py has them in a run."""

import io
import logging
import random
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.runner import IterBasedTrainLoop
from mmseg.structures import SegDataSample

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.training.finite import FiniteGuard
from projects.cpm_avs.training.hooks import (
    AtomicLocalBackend,
    EMUpdateHook,
    ExactCheckpointHook,
    FiniteLossHook,
    RandomStateHook,
    SkipReportHook,
    StabilityHook,
    random_state_hook,
)
from projects.cpm_avs.training.hooks.em_update_hook import learning_pace
from projects.cpm_avs.training.random_state import (
    get_random_state,
    seeded_state,
    set_random_state,
)


class FakeVisualizer:
    def __init__(self) -> None:
        self.scalars: list[tuple[dict, int]] = []

    def add_scalars(self, scalars: dict, step: int, file_path: str) -> None:
        assert file_path == "now.json"
        self.scalars.append((scalars, step))


def fake_runner(**attributes) -> SimpleNamespace:
    """What the hooks see of a runner."""
    runner = SimpleNamespace(
        iter=0,
        timestamp="now",
        seed=3,
        logger=logging.getLogger("test_hooks"),
        visualizer=FakeVisualizer(),
        train_loop=None,
        train_dataloader=SimpleNamespace(sampler=SimpleNamespace(seed=5)),
        model=SimpleNamespace(criterion=SimpleNamespace(num_classes=2)),
        hooks=[],
    )
    vars(runner).update(attributes)
    return runner


def draws() -> tuple[float, ...]:
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.standard_normal()),
        float(torch.rand(())),
    )


# --- random states ---------------------------------------------------------------------------


def test_random_state_survives_a_file_that_is_read_as_data():
    draws()  # leaves a cached Gaussian in Python's and numpy's generators
    state = get_random_state()
    expected = draws(), draws()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    draws()
    set_random_state(torch.load(file, weights_only=True))
    assert (draws(), draws()) == expected


def test_the_steps_draw_the_same_whatever_happens_between_them():
    def run(between: int) -> list[tuple[float, ...]]:
        set_random_state(start)
        hook, runner = RandomStateHook(), fake_runner()
        steps = []
        for iteration in range(3):
            for _ in range(between if iteration else 0):
                draws()
            hook.before_train_iter(runner, iteration)
            steps.append(draws())
            hook.after_train_iter(runner, iteration)
        return steps

    start = get_random_state()
    quiet, noisy = run(0), run(2)
    assert quiet == noisy
    assert len(set(quiet)) == 3


def test_what_lies_between_the_steps_goes_on_too():
    hook, runner = RandomStateHook(), fake_runner()
    outside = []
    for iteration in range(3):
        outside.append(draws())
        hook.before_train_iter(runner, iteration)
        hook.after_train_iter(runner, iteration)
    assert len(set(outside)) == 3


def test_every_rank_starts_with_a_stream_of_its_own(monkeypatch):
    def first_draws(seed: int, rank: int) -> tuple[float, ...]:
        monkeypatch.setattr(random_state_hook, "get_rank", lambda: rank)
        hook, runner = RandomStateHook(), fake_runner(seed=seed)
        hook.before_train(runner)
        hook.before_train_iter(runner, 0)
        return draws()

    runs = [first_draws(*pair) for pair in ((0, 0), (0, 1), (1, 0), (1, 1))]
    drawn = [number for run in runs for number in run]
    assert len(set(drawn)) == len(drawn)
    draws()
    assert first_draws(0, 1) == runs[1]


def test_seeding_a_stream_leaves_the_generators_alone():
    before = get_random_state()
    seeded_state(0, 0, 0)
    expected = draws()
    set_random_state(before)
    assert draws() == expected


@pytest.mark.parametrize(("iteration", "restored"), [(0, False), (8, True)])
def test_only_a_resumed_run_takes_the_states_over(iteration, restored):
    saved = RandomStateHook()
    saved.before_train_iter(fake_runner(), 0)
    saved.after_train_iter(fake_runner(), 0)
    expected = draws()
    checkpoint = dict(random_states=saved.collect(), meta=dict(seed=9))
    hook, runner = RandomStateHook(), fake_runner(iter=iteration)
    hook.after_load_checkpoint(runner, checkpoint)
    hook.before_train(runner)
    hook.before_train_iter(runner, iteration)
    assert (draws() == expected) is restored
    assert runner.train_dataloader.sampler.seed == (9 if restored else 5)


@pytest.mark.parametrize(
    ("checkpoint", "message"), [({}, "none"), (dict(random_states=[1, 2]), r"2 rank\(s\)")]
)
def test_states_that_do_not_fit_are_reported(caplog, checkpoint, message):
    hook, runner = RandomStateHook(), fake_runner(iter=3)
    hook.after_load_checkpoint(runner, checkpoint)
    with caplog.at_level(logging.WARNING):
        hook.before_train(runner)
    assert caplog.records and re.search(message, caplog.text)


def test_records_that_no_run_wrote_are_refused():
    """Of a crafted place NumPy would read other memory, and end the process."""
    counts = dict(in_a_row=1, total=2)
    state = get_random_state()
    keys = state["numpy"][0]
    cases = {
        RandomStateHook(): (
            [5, "abc", [7], [{}], [state | dict(numpy=[keys[:9], 3, 0, 0.0])]]
            + [[state | dict(numpy=[keys, place, 0, 0.0])] for place in (10**9, -1, 625, "a")]
        ),
        StabilityHook(interval=2): [3, [], torch.ones(2), torch.ones(5, 4)],
        FiniteLossHook(): (
            ["x", [], 5, counts | dict(total="2"), counts | dict(total=0), {}, dict(in_a_row=1)]
        ),
    }
    guard = SimpleNamespace(num_classes=2, finite=FiniteGuard())
    runner = fake_runner(
        iter=3, optim_wrapper=None, model=SimpleNamespace(criterion=guard, modules=list)
    )
    for hook, values in cases.items():
        for value in values:
            hook.after_load_checkpoint(runner, {hook.checkpoint_key: value})
            with pytest.raises(
                UserError, match=rf"checkpoint's {hook.checkpoint_key} \(.*begin a new"
            ):
                hook.before_train(runner)
            runner.iter = 0  # with its weights alone
            hook.before_train(runner)
            runner.iter = 3
    hook = RandomStateHook()
    hook.after_load_checkpoint(runner, dict(random_states=[state], meta=dict(seed="x")))
    with pytest.raises(UserError, match=r"meta\.seed \(str\)"):
        hook.before_train(runner)


def test_ranks_draw_apart_where_no_states_fit(monkeypatch):
    start = get_random_state()

    def first_draws(rank: int, iteration: int) -> tuple[float, ...]:
        set_random_state(start)  # MMEngine seeds all ranks alike
        monkeypatch.setattr(random_state_hook, "get_rank", lambda: rank)
        hook, runner = RandomStateHook(), fake_runner(iter=iteration)
        hook.after_load_checkpoint(runner, {})
        hook.before_train(runner)
        hook.before_train_iter(runner, iteration)
        return draws()

    runs = [first_draws(*pair) for pair in ((0, 0), (0, 3), (1, 3), (0, 6))]
    drawn = [number for run in runs for number in run]
    assert len(set(drawn)) == len(drawn)


# --- checkpoints -------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "iter_1.pth"
    backend = AtomicLocalBackend()
    backend.put(b"old", path)

    def full(_descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        backend.put(b"new", path)
    assert path.read_bytes() == b"old" and list(path.parent.iterdir()) == [path]
    monkeypatch.undo()
    backend.put(b"new", path)
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_keeping_one_checkpoint_is_refused():
    with pytest.raises(ValueError, match="use 2 or more"):
        ExactCheckpointHook(max_keep_ckpts=1).before_train(fake_runner())


def test_a_state_goes_into_one_checkpoint():
    hook = StabilityHook(interval=4)
    runner = fake_runner()
    runner.model.criterion.last_assignment = torch.tensor([[0, 2]])
    hook.after_train_iter(runner, 0)
    hook.collect_for_checkpoint()
    resumable, best = {}, {}
    hook.before_save_checkpoint(runner, resumable)
    hook.before_save_checkpoint(runner, best)
    assert resumable["stability_counts"].tolist() == [[1, 0], [0, 0]] and not best


# --- STS -----------------------------------------------------------------------------------------


def match(hook: StabilityHook, runner: SimpleNamespace, assignment: list[list[int]]) -> None:
    runner.model.criterion.last_assignment = torch.tensor(assignment)
    hook.after_train_iter(runner, runner.iter)
    runner.iter += 1


def test_sts_of_two_iterations_by_hand():
    hook, runner = StabilityHook(interval=2), fake_runner()
    match(hook, runner, [[0, 1, 2], [0, 2, 1]])
    match(hook, runner, [[0, 2, 1], [0, 1, 2]])
    # Class 0 always takes query 0: entropy 0. Class 1 takes queries 1, 2 two times each: ln 2.
    [(scalars, step)] = runner.visualizer.scalars
    assert step == 2 and scalars["STS"] == pytest.approx(np.log(2) / 2, abs=1e-9)
    match(hook, runner, [[0, 1, 2]])
    match(hook, runner, [[0, 1, 2]])
    assert runner.visualizer.scalars[1] == (pytest.approx(dict(STS=0.0), abs=1e-9), 4)


def test_sts_by_epochs():
    hook, runner = StabilityHook(), fake_runner()
    match(hook, runner, [[1, 2]])
    match(hook, runner, [[2, 1]])
    assert not runner.visualizer.scalars
    hook.after_train_epoch(runner)
    assert runner.visualizer.scalars == [(pytest.approx(dict(STS=np.log(2))), 2)]


def test_an_epoch_without_a_match_reports_no_number():
    hook, runner = StabilityHook(), fake_runner()
    match(hook, runner, [[2, 2]])
    hook.after_train_epoch(runner)
    hook.after_train_epoch(runner)
    assert not runner.visualizer.scalars


def test_sts_counts_survive_a_resume():
    hook, runner = StabilityHook(interval=2), fake_runner()
    match(hook, runner, [[1, 2]])
    checkpoint = dict(stability_counts=hook.collect())
    resumed = StabilityHook(interval=2)
    resumed.after_load_checkpoint(runner, checkpoint)
    resumed.before_train(runner)
    match(resumed, runner, [[2, 1]])
    assert runner.visualizer.scalars[0][0]["STS"] == pytest.approx(np.log(2))


def test_sts_without_epochs_needs_an_interval():
    loop = IterBasedTrainLoop.__new__(IterBasedTrainLoop)
    with pytest.raises(ValueError, match="set interval"):
        StabilityHook().before_train(fake_runner(train_loop=loop))


# --- EM, skipped samples, intervals ------------------------------------------------------------


def em_runner(calls: list[float], **group: float):
    """A runner whose criterion notes the pace of every update."""

    def update_classifier(given, *, pace):
        assert given is classifier
        calls.append(pace)

    classifier = object()
    model = SimpleNamespace(
        criterion=SimpleNamespace(update_classifier=update_classifier),
        decode_head=SimpleNamespace(classifier=classifier),
    )
    groups = [dict(lr=0.0, initial_lr=0.0), group]  # a part that is frozen by its rate comes first
    return fake_runner(model=model, optim_wrapper=SimpleNamespace(param_groups=groups))


def test_em_runs_every_fifth_iteration():
    calls = []
    runner = em_runner(calls, lr=0.1)
    counts = []
    for runner.iter in range(11):
        EMUpdateHook(interval=5).after_train_iter(runner, runner.iter)
        counts.append(len(calls))
    assert counts == [0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    for runner.iter in range(11):
        EMUpdateHook(interval=5, begin=7).after_train_iter(runner, runner.iter)
    assert len(calls) == 3  # once more, after iteration 9


@pytest.mark.parametrize(
    ("group", "pace"),
    [
        (dict(lr=0.1), 1.0),  # without a scheduler nothing is noted
        (dict(lr=0.03, initial_lr=0.1), 0.3),
        (dict(lr=0.2, initial_lr=0.1), 1.0),
        (dict(lr=0.0, initial_lr=0.0), 1.0),
    ],
)
def test_em_slows_down_with_the_learning_rate(group, pace):
    calls = []
    EMUpdateHook(interval=1).after_train_iter(em_runner(calls, **group), 0)
    assert calls == [pytest.approx(pace)]


def test_em_follows_the_fastest_of_several_optimisers():
    groups = dict(visual=[dict(lr=0.02, initial_lr=0.1)], sound=[dict(lr=0.03, initial_lr=0.1)])
    assert learning_pace(groups) == pytest.approx(0.3)


def test_skipped_samples_are_counted_and_named(caplog):
    hook, runner = SkipReportHook(max_names=1), fake_runner()
    samples = [
        SegDataSample(metainfo=dict(skipped=skipped)) for skipped in (["a.wav", "b.png"], ["b.png"])
    ]
    samples.append(SegDataSample())
    with caplog.at_level(logging.WARNING):
        hook.after_train_iter(runner, 0, data_batch=dict(data_samples=samples))
        assert not caplog.records
        hook.after_train_epoch(runner)
        hook.after_train_iter(runner, 1, data_batch=dict(data_samples=samples[:1]))
        hook.after_train_epoch(runner)
        hook.after_train_epoch(runner)
    first, second = (record.getMessage() for record in caplog.records)
    assert "3 since the last report, 3 in this run: b.png (2x) and 1 more" in first
    assert "2 since the last report, 5 in this run" in second


@pytest.mark.parametrize("hook", [EMUpdateHook, StabilityHook, SkipReportHook])
def test_an_interval_below_one_is_refused(hook):
    with pytest.raises(ValueError, match="got 0"):
        hook(interval=0)
