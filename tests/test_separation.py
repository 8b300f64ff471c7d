"""Separation of mixed sounds on a data set: who is mixed, what is measured, logged and drawn."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, HOOKS
from mmseg.structures import SegDataSample
from tiny import FRAMES, SAMPLES, SIZE, build_tiny, linear_cfg, tiny_batch, tiny_model_cfg

from projects.cpm_avs.config_files import ConfigError
from projects.cpm_avs.launch import load_prompted
from projects.cpm_avs.models.spectrogram import stft_magnitude
from projects.cpm_avs.safe_checkpoint import CheckpointError
from projects.cpm_avs.training.diagnostics.separation import (
    measure_separation,
    separate_samples,
    separated_one_by_one,
    spread_indices,
)

ROOT = Path(__file__).resolve().parents[1]


def items(count: int, *, num_classes: int = 3, silent: bool = False) -> list[dict]:
    """Packed samples; item i shows and sounds class 1 + i mod (C - 1)."""
    batch = tiny_batch(count, num_classes=num_classes, silent=silent)
    return [
        dict(
            inputs={key: values[i] for key, values in batch["inputs"].items()},
            data_samples=batch["data_samples"][i],
        )
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def model():
    return build_tiny().eval()


@pytest.mark.parametrize(
    ("length", "count", "expected"),
    [(10, 5, [0, 2, 4, 6, 8]), (10, 3, [0, 3, 6]), (2, 8, [0, 1]), (500, 2, [0, 250])],
)
def test_indices_are_spread(length, count, expected):
    assert spread_indices(length, count) == expected


class TestSeparateSamples:
    def test_of_a_clip_its_first_frame_with_a_label_counts(self, model):
        path = model.criterion.prompted_path
        frames = items(8)
        bare = dict(frames[2], data_samples=SegDataSample(metainfo=dict(clip_id="bare")))
        clips = [frames[:2], [bare, frames[3]], frames[4:6], frames[6:]]
        batches = separate_samples(model, path, clips, 4, batch_size=4)
        (named,) = [[sample.clip_id for sample in batch["data_samples"]] for batch, _ in batches]
        assert named == ["clip0", "clip3", "clip4", "clip6"]

    def test_every_sample_comes_once_and_batches_span_the_set(self, model):
        path = model.criterion.prompted_path
        batches = list(separate_samples(model, path, items(10), 10, batch_size=4))
        clips = [
            [sample.clip_id for sample in batch["data_samples"]] for batch, _ in batches
        ]  # fmt: skip
        assert clips == [
            ["clip0", "clip3", "clip6", "clip9"],
            ["clip1", "clip4", "clip7"],
            ["clip2", "clip5", "clip8"],
        ]

    def test_noise_is_another_samples_sound_and_the_ratio_fits_it(self, model):
        path = model.criterion.prompted_path
        ((batch, parts),) = separate_samples(model, path, items(4), 4)
        clean, noise = batch["inputs"]["specgram"], parts.noise.specgram
        for index in range(4):  # classes 1 2 1 2
            same = [torch.equal(noise[index], other) for other in clean]
            assert sum(same) == 1 and same.index(True) % 2 != index % 2
        torch.testing.assert_close(parts.ratio, (clean / (clean + noise))[:, 0])
        assert parts.counted.all()
        assert parts.predicted.shape == (4, FRAMES, 256)
        assert 0 <= parts.predicted.min() and parts.predicted.max() <= 1  # noqa: SIM300
        assert not parts.predicted.requires_grad

    def test_what_can_not_be_mixed_does_not_count(self, model):
        path = model.criterion.prompted_path
        same_class = items(4)[::2]
        ((_, parts),) = separate_samples(model, path, same_class, 2)
        assert not parts.counted.any()
        ((_, parts),) = separate_samples(model, path, items(2, silent=True), 2)
        assert not parts.counted.any()


class TestMeasureSeparation:
    def measured(self, model, monkeypatch, mask) -> dict[str, float]:
        """Scores if the prompts predicted ``mask(ratio)``."""
        path = model.criterion.prompted_path
        separate = path.separate

        def forged(prompted, clean):
            parts = separate(prompted, clean)
            return replace(parts, predicted=mask(parts.ratio))

        monkeypatch.setattr(path, "separate", forged)
        return measure_separation(model, path, items(4), 4)

    def test_the_true_mask_separates(self, model, monkeypatch):
        scores = self.measured(model, monkeypatch, lambda ratio: ratio)
        assert scores["ratio_error"] == 0
        assert scores["si_sdr_improvement"] > 15  # two tones, 700 and 1400 Hz

    def test_the_opposite_mask_keeps_the_noise(self, model, monkeypatch):
        scores = self.measured(model, monkeypatch, lambda ratio: 1 - ratio)
        assert scores["si_sdr_improvement"] < -10

    def test_a_constant_mask_changes_nothing(self, model, monkeypatch):
        """It scales the mixture, and SI-SDR doesn't see scales; the error is mean |r - 0.5|."""
        ratios = []

        def half(ratio):
            ratios.append(ratio)
            return torch.full_like(ratio, 0.5)

        scores = self.measured(model, monkeypatch, half)
        assert scores["si_sdr_improvement"] == pytest.approx(0, abs=1e-3)
        expected = float((ratios[0] - 0.5).abs().mean())
        assert scores["ratio_error"] == pytest.approx(expected, abs=1e-6)

    def test_every_bin_weighs_the_same_in_uneven_batches(self, model, monkeypatch):
        """9 samples are a batch of 5 and one of 4, of which one can't be mixed with another."""
        path, errors = model.criterion.prompted_path, []
        separate = path.separate

        def recording(prompted, clean):
            parts = separate(prompted, clean)
            errors.append((parts.predicted - parts.ratio)[parts.counted].abs())
            return parts

        monkeypatch.setattr(path, "separate", recording)
        made = items(9)
        samples = [made[index] for index in (0, 1, 3, 2, 4, 5, 7, 6, 8)]  # both classes in each
        samples[1]["data_samples"].gt_sem_seg.data.fill_(0)  # nothing sounds
        scores = measure_separation(model, path, samples, 9)
        first, second = errors
        assert len(first) > len(second) > 0
        assert scores["ratio_error"] == pytest.approx(float(torch.cat(errors).mean()))
        assert scores["ratio_error"] != pytest.approx(float(first.mean() + second.mean()) / 2)

    def test_the_draws_are_the_same_in_every_call_and_leave_the_generator_alone(self, model):
        path = model.criterion.prompted_path
        state = torch.get_rng_state()
        first = measure_separation(model, path, items(4), 4)
        assert torch.equal(torch.get_rng_state(), state)
        torch.rand(3)
        assert measure_separation(model, path, items(4), 4) == first

    def test_nothing_to_mix_gives_nothing(self, model):
        path = model.criterion.prompted_path
        assert measure_separation(model, path, items(4)[::2], 2) == {}

    def test_silence_has_no_si_sdr(self, model):
        samples = items(4)
        samples[0]["inputs"]["waveform"] *= 0  # the other one is its noise, and has none
        measured = measure_separation(model, model.criterion.prompted_path, samples[:2], 2)
        assert measured.keys() & {"ratio_error", "si_sdr_improvement"} == {"ratio_error"}
        assert 0 <= measured["ratio_error"] <= 1

    def test_loud_bins_weigh_more(self, model, monkeypatch):
        """A mask that is off by 1/4 in the louder half of the bins."""
        path, weights = model.criterion.prompted_path, []
        separate = path.separate

        def forged(prompted, clean):
            parts = separate(prompted, clean)
            weight = (clean + prompted.drawn.noise.specgram).mean(1).log1p()
            loud = weight > weight.median()
            weights.extend((weight[loud].sum(), weight.sum()))
            return replace(parts, predicted=parts.ratio + 0.25 * loud)

        monkeypatch.setattr(path, "separate", forged)
        scores = measure_separation(model, path, items(4), 4)
        assert scores["ratio_error"] == pytest.approx(0.125, abs=1e-4)
        assert scores["loud_ratio_error"] == pytest.approx(float(0.25 * weights[0] / weights[1]))
        assert scores["loud_ratio_error"] > 0.15


class TestHook:
    @pytest.fixture
    def hook(self):
        init_default_scope("mmseg")
        return HOOKS.build(dict(type="ACPQualityHook", num_samples=4))

    def runner(self, model, dataset=None) -> MagicMock:
        runner = MagicMock(model=model, iter=7, timestamp="now")
        runner.val_dataloader.dataset = items(4) if dataset is None else dataset
        runner.train_dataloader.dataset = items(6)
        return runner

    @pytest.mark.parametrize("wrapped", [False, True])
    def test_logs_the_prompts_and_what_they_compare_with(self, hook, model, wrapped):
        runner = self.runner(torch.nn.DataParallel(model) if wrapped else model)
        hook.before_train(runner)
        hook.after_val_epoch(runner)
        (scalars,), options = runner.visualizer.add_scalars.call_args
        errors = {"ratio_error", "loud_ratio_error"}
        measures = errors | {"si_sdr_improvement"}
        expected = {
            *(f"ACP/{name}" for name in measures),
            *(f"ACP/deaf_{name}" for name in measures),
            *(f"ACP/half_{name}" for name in errors),
        }
        assert set(scalars) == expected
        assert all(0 <= scalars[name] <= 1 for name in expected if "error" in name)
        assert options == dict(step=7, file_path="now.json")
        deaf = scalars["ACP/deaf_si_sdr_improvement"]
        assert f"without hearing {deaf:.2f}" in runner.logger.info.call_args.args[0]

    def test_fits_once_to_what_the_run_trains_on(self, hook, model, monkeypatch):
        module, fitted = sys.modules[type(hook).__module__], []
        fit = module.fit_deaf_predictor
        monkeypatch.setattr(
            module, "fit_deaf_predictor", lambda *inputs: (fitted.append(inputs), fit(*inputs))[1]
        )
        runner = self.runner(model)
        hook.before_train(runner)
        hook.after_val_epoch(runner)
        hook.after_val_epoch(runner)
        assert [inputs[1:] for inputs in fitted] == [(3, runner.train_dataloader.dataset)]
        first, second = (call.args for call in runner.visualizer.add_scalars.call_args_list)
        assert first == second

    def test_a_validation_alone_reads_no_training_set(self, hook, model):
        runner = self.runner(model)
        hook.after_val_epoch(runner)
        (scalars,) = runner.visualizer.add_scalars.call_args.args
        assert "ACP/ratio_error" in scalars and "ACP/deaf_ratio_error" not in scalars
        assert "(0.5 everywhere" in runner.logger.info.call_args.args[0]

    def test_logs_what_is_defined(self, hook, model, monkeypatch):
        module = sys.modules[type(hook).__module__]
        measured = dict(ratio_error=0.25, loud_ratio_error=0.5, half_ratio_error=0.125)
        monkeypatch.setattr(module, "measure_separation", lambda *_: measured)
        runner = self.runner(model)
        hook.after_val_epoch(runner)
        (scalars,) = runner.visualizer.add_scalars.call_args.args
        assert scalars == {f"ACP/{name}": value for name, value in measured.items()}
        assert runner.logger.info.call_args.args[0] == (
            "ACP: mean absolute ratio error 0.250 (0.5 everywhere 0.125); by loudness 0.500; "
            "SI-SDR improvement in dB undefined"
        )

    def test_says_so_where_nothing_can_be_mixed(self, hook, model):
        runner = self.runner(model, items(4)[::2])
        hook.after_val_epoch(runner)
        runner.visualizer.add_scalars.assert_not_called()
        assert "mixed" in runner.logger.info.call_args.args[0]

    @pytest.mark.parametrize(
        "cfg",
        [
            linear_cfg(),
            tiny_model_cfg(criterion=dict(prompting=dict(acp_weight=0.0, pcl_weight=0.0))),
            dict(tiny_model_cfg(), criterion=None),
        ],
    )
    def test_models_without_audio_prompting_are_passed_over(self, hook, cfg):
        runner = self.runner(build_tiny(cfg))
        hook.after_val_epoch(runner)
        assert not runner.val_dataloader.mock_calls and not runner.visualizer.mock_calls

    def test_one_sample_is_refused(self, hook):
        with pytest.raises(ValueError, match="num_samples is 1"):
            type(hook)(num_samples=1)


class TestFigureTool:
    @pytest.fixture(scope="class")
    def tool(self):
        return importlib.import_module("projects.cpm_avs.commands.plot_acp")

    @pytest.fixture
    def files(self, tmp_path, monkeypatch):
        """A config on AVS-Stamps and a checkpoint with random weights."""
        monkeypatch.chdir(ROOT)
        cfg = tiny_model_cfg(decode_head=dict(num_classes=25))
        dataset = dict(
            type="StampsDataset", subset="ms", split="val", num_scenes=12, image_size=SIZE,
            num_samples=SAMPLES, test_mode=True,
            pipeline=[dict(type="ComposeStampsScene"), dict(type="PackAVSInputs")],
        )  # fmt: skip
        training_set = dict(dataset, split="train", num_scenes=24, test_mode=False)
        config, checkpoint = tmp_path / "tiny_stamps.py", tmp_path / "tiny.pth"
        loaders = dict(
            val_dataloader=dict(dataset=dataset), train_dataloader=dict(dataset=training_set)
        )
        Config(dict(model=cfg, **loaders)).dump(config)
        torch.save(dict(state_dict=build_tiny(cfg).state_dict()), checkpoint)
        return config, checkpoint

    def test_draws_as_many_rows_as_asked_for(self, tool, files, tmp_path, capsys):
        config, checkpoint = files
        sizes = []
        for number in (1, 3):
            out = tmp_path / f"figures/{number}.png"
            tool.main([str(config), str(checkpoint), "--num", str(number), "--out", str(out)])
            assert str(out) in capsys.readouterr().out
            sizes.append(cv2.imread(str(out)).shape[0])
        assert sizes[1] > 2 * sizes[0]

    def test_samples_have_the_classes_that_sound(self, files):
        config, checkpoint = files
        cfg = Config.fromfile(config)
        init_default_scope("mmseg")
        dataset = DATASETS.build(cfg.val_dataloader.dataset)
        logits = torch.arange(25 * 256).view(25, 256) / 6400
        model = load_prompted(cfg, str(checkpoint))
        rows = list(separated_one_by_one(model, model.criterion.prompted_path, dataset, logits))
        assert 2 <= len(rows) <= 12
        for row in rows:
            summed = logits[row.classes].sum(0)
            torch.testing.assert_close(row.deaf, summed.sigmoid().expand(FRAMES, -1))
            assert min(row.classes) > 0 and len(row.classes) in (2, 3)
            clean = row.mixture - row.noise
            torch.testing.assert_close(clean, row.target * row.mixture, atol=1e-4, rtol=1e-3)
        sounds = {
            tuple(stft_magnitude(item["inputs"]["waveform"]).mean(0)[5, :3].tolist())
            for item in dataset
        }
        assert all(
            any(torch.allclose(row.noise[5, :3], torch.tensor(one)) for one in sounds)
            for row in rows
        )

    def test_refusals_name_the_remedy(self, tool, files, tmp_path):
        config, checkpoint = files
        cfg = Config.fromfile(config)
        init_default_scope("mmseg")
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        stripped = {key: value for key, value in state.items() if not key.startswith("criterion.")}
        torch.save(stripped, tmp_path / "published.pth")
        with pytest.raises(CheckpointError, match="Give the file that training wrote"):
            load_prompted(cfg, str(tmp_path / "published.pth"))
        cfg.pop("train_dataloader")
        with pytest.raises(ConfigError, match=r"no train_dataloader.*config of a training"):
            tool.build_dataset(cfg, "train_dataloader")
        cfg.model.criterion.prompting = None
        with pytest.raises(CheckpointError, match="without audio prompting"):
            load_prompted(cfg, str(checkpoint))
        cfg.model.criterion = None
        with pytest.raises(CheckpointError, match="no criterion"):
            load_prompted(cfg, str(checkpoint))
        with pytest.raises(SystemExit):
            tool.parse_args([str(config), str(checkpoint), "--num", "0"])
