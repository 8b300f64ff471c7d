"""Off-screen noise: from a folder of sounds to the mixture, and from the batch."""

import numpy as np
import pytest
import soundfile
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import MODELS, TRANSFORMS
from tiny import build_tiny, losses_of, tiny_batch, tiny_model_cfg
from toy_avs import LOAD, ToySet, write_toy_files

from projects.cpm_avs.datasets.seeding import seeded
from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.models.spectrogram import stft_magnitude
from projects.cpm_avs.training.diagnostics.separation import noise_waveform
from projects.cpm_avs.training.prompting.offscreen_noise import draw_partners as draw_from_pool
from projects.cpm_avs.training.prompting.offscreen_noise import offscreen_noise

pytestmark = pytest.mark.usefixtures("mmseg_scope")


def write_sound(path, *, seconds: float = 2.0, rate: int = 16000, channels: int = 1, value=None):
    length = round(seconds * rate)
    ramp = np.arange(length) / length if value is None else np.full(length, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.stack([ramp] * channels, 1), rate, subtype="FLOAT")


@pytest.fixture
def folder(tmp_path):
    """Two sounds, one of them deeper down, and a file that is no sound."""
    write_sound(tmp_path / "noises/a.wav", value=0.25)
    write_sound(tmp_path / "noises/rain/b.wav", value=-0.5)
    (tmp_path / "noises/readme.txt").write_text("rain and wind")
    return tmp_path / "noises"


def load(folder, *, channels: int = 1, length: int = 4800, rate: int = 16000) -> np.ndarray:
    transform = TRANSFORMS.build(dict(type="LoadOffscreenNoise", folder=str(folder)))
    results = dict(waveform=np.zeros((channels, length), np.float32), sample_rate=rate)
    return transform(results)["noise_waveform"]


class TestTransform:
    def test_takes_all_files_below_the_folder(self, folder):
        np.random.seed(0)
        heard = {round(float(load(folder).mean()), 2) for _ in range(20)}
        assert heard == {0.25, -0.5}

    def test_a_window_starts_anywhere(self, tmp_path):
        write_sound(tmp_path / "ramp.wav")  # rises from 0 to 1 in 32000 samples
        np.random.seed(0)
        starts = [float(load(tmp_path)[0, 0]) for _ in range(200)]
        assert min(starts) < 0.05 and 0.8 < max(starts) <= 1 - 4800 / 32000
        window = load(tmp_path)
        assert window.shape == (1, 4800) and window.dtype == np.float32
        np.testing.assert_allclose(np.diff(window[0]), 1 / 32000, atol=1e-6)

    def test_short_sounds_repeat(self, tmp_path):
        write_sound(tmp_path / "click.wav", seconds=0.1)
        window = load(tmp_path)[0]
        np.testing.assert_array_equal(window[:1600], window[1600:3200])

    def test_rate_and_channels_are_the_samples_own(self, tmp_path):
        write_sound(tmp_path / "hi.wav", rate=44100, channels=1, value=0.5)
        window = load(tmp_path, channels=2)
        assert window.shape == (2, 4800)
        np.testing.assert_allclose(window[:, 1000:-1000], 0.5, atol=0.02)

    def test_one_seed_gives_one_noise(self, folder):
        draws = []
        for _ in range(2):
            with seeded(3, 5):
                draws.append([load(folder) for _ in range(4)])
        np.testing.assert_array_equal(*draws)

    def test_refusals(self, tmp_path):
        (tmp_path / "notes.txt").write_text("nothing to hear")
        with pytest.raises(ValueError, match="holds no file with sound.*leave"):
            load(tmp_path)
        with pytest.raises(ValueError, match="holds no file with sound"):
            load(tmp_path / "nowhere")
        write_sound(tmp_path / "broken.wav")
        content = (tmp_path / "broken.wav").read_bytes()
        (tmp_path / "broken.wav").write_bytes(content[: len(content) // 2])
        with pytest.raises(BadSampleError, match="broken.wav"):
            load(tmp_path)


class TestEndToEnd:
    @pytest.fixture
    def dataset(self, tmp_path, folder):
        pipeline = [
            *LOAD,
            dict(type="LoadOffscreenNoise", folder=str(folder)),
            dict(type="PackAVSInputs"),
        ]
        return ToySet(root=write_toy_files(tmp_path), pipeline=pipeline)

    def test_noise_reaches_the_mixture(self, dataset):
        np.random.seed(1)
        batch = pseudo_collate([dataset[i] for i in range(3)])
        heard = [float(noise.mean()) for noise in batch["inputs"]["noise_waveform"]]
        assert {round(value, 2) for value in heard} == {0.25, -0.5}

        preprocessor = MODELS.build(dict(type="AVDataPreprocessor"))
        inputs = preprocessor(batch, True)["inputs"]
        noise = inputs["noise_waveform"]
        assert noise.shape == inputs["waveform"].shape == (3, 1, 15360)
        torch.testing.assert_close(inputs["noise_specgram"], stft_magnitude(noise))

        # All of one class: the batch itself could give no noise.
        sounding = torch.zeros(3, 4, dtype=torch.bool).index_fill(1, torch.tensor([1]), True)
        mixed = offscreen_noise(inputs, sounding)
        assert mixed.mixed.all()
        assert torch.equal(mixed.specgram, inputs["noise_specgram"])
        assert torch.equal(noise_waveform(inputs, mixed), noise)

    def test_other_pipelines_carry_no_noise(self, tmp_path):
        plain = ToySet(root=write_toy_files(tmp_path), pipeline=[*LOAD, dict(type="PackAVSInputs")])
        assert set(plain[0]["inputs"]) == {"img", "waveform"}
        preprocessor = MODELS.build(dict(type="AVDataPreprocessor"))
        inputs = preprocessor(pseudo_collate([plain[0]]), True)["inputs"]
        assert set(inputs) == {"img", "specgram", "waveform"}

    def test_a_bad_noise_is_skipped_as_a_bad_sample_is(self, tmp_path, dataset):
        content = (tmp_path / "noises/a.wav").read_bytes()
        (tmp_path / "noises/broken.wav").write_bytes(content[: len(content) // 2])
        pipeline = [
            *LOAD,
            dict(type="LoadOffscreenNoise", folder=str(tmp_path / "noises")),
            dict(type="PackAVSInputs"),
        ]
        np.random.seed(0)
        made = ToySet(root=tmp_path, pipeline=pipeline)
        items = [made[i % 6] for i in range(8)]
        skipped = {path for item in items for path in item["data_samples"].skipped}
        assert {path.rsplit("/", 1)[-1] for path in skipped} == {"broken.wav"}

    def test_acp_learns_from_it(self):
        """A batch of one class has a loss only where noise was loaded."""
        model = build_tiny(tiny_model_cfg())
        batch = tiny_batch(2)
        for sample in batch["data_samples"]:
            sample.gt_sem_seg.data.clamp_(max=1)
        assert losses_of(model, batch)["loss_acp"].item() == 0
        batch["inputs"]["noise_waveform"] = batch["inputs"]["waveform"][::-1]
        assert losses_of(model, batch)["loss_acp"].item() > 0


def draw_partners(sounding, audible) -> torch.Tensor:
    return draw_from_pool(sounding, audible, torch.arange(len(sounding)))


def test_binary_sets_take_any_other_sample():
    """S4 and MS3 have one class for all that sounds, which says nothing about the sounds."""
    audible = torch.ones(3, dtype=torch.bool)
    one_class = torch.tensor([[False, True]] * 3)
    draws = torch.stack([draw_partners(one_class, audible) for _ in range(100)])
    assert [set(column) for column in draws.T.tolist()] == [{1, 2}, {0, 2}, {0, 1}]
    assert draw_partners(one_class, ~audible).tolist() == [-1, -1, -1]
    one_class[1, 0] = True  # nothing is known of it: it may be of the first's own clip
    draws = torch.stack([draw_partners(one_class, audible) for _ in range(20)])
    assert [set(column) for column in draws.T.tolist()] == [{2}, {0, 2}, {0}]
    two_classes = torch.tensor([[False, True, False]] * 3)
    assert draw_partners(two_classes, audible).tolist() == [-1, -1, -1]
