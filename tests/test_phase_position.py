"""Where stereo sound comes from by its phases: the cross spectrum, delays, and their code."""

import math

import numpy as np
import pytest
import torch
from tiny import SAMPLES, build_tiny, losses_of, predictions_of, stereo_cfg, tiny_batch

from projects.cpm_avs.datasets.composed.clip import compose_clip
from projects.cpm_avs.datasets.composed.scene import STEREO
from projects.cpm_avs.datasets.composed.stamps import StampsDataset
from projects.cpm_avs.media.audio_functional import delay_stereo, pan_stereo
from projects.cpm_avs.models.cpm.phase_functional import delay_grid, delay_response, steering
from projects.cpm_avs.models.cpm.phase_position import PhasePosition
from projects.cpm_avs.models.cpm.place_functional import panning
from projects.cpm_avs.models.cpm.positions import column_codes
from projects.cpm_avs.models.cpm.stereo_position import StereoPosition
from projects.cpm_avs.models.spectrogram import (
    bin_frequencies,
    first_bin,
    magnitude_and_cross,
    stft_magnitude,
)

SIZE = (2, 16)


def tones(frequency: float, right_later: float) -> torch.Tensor:
    """A tone whose right channel is behind by so many seconds, (1, 2, L)."""
    time = np.arange(SAMPLES) / 16_000
    left, right = (np.sin(2 * np.pi * frequency * (time - d)) for d in (0, right_later))
    return torch.from_numpy(0.3 * np.stack([left, right])[None]).float()


def placed(law, *places: float) -> torch.Tensor:
    """Noise, a sound for each place, (B, 2, L)."""
    rng = np.random.default_rng(0)
    return torch.from_numpy(
        np.stack([law(rng.normal(0, 0.1, (1, SAMPLES)).astype(np.float32), x) for x in places])
    )


class TestCrossSpectrum:
    @pytest.mark.parametrize(
        ("bin_", "delay"),
        [(16, 0.00025), (40, 0.0001), (40, -0.0002)],  # 500 and 1250 Hz
    )
    def test_the_phase_of_a_delay_by_hand(self, bin_, delay):
        """500 Hz and 0.25 ms: an eighth of its 2 ms, pi / 4."""
        _, cross = magnitude_and_cross(tones(31.25 * bin_, delay))
        real, imaginary = cross[0, :, 4:-4, bin_]  # away from the edges, which are mirrored
        expected = torch.tensor(2 * math.pi * 31.25 * bin_ * delay)
        if (bin_, delay) == (16, 0.00025):
            assert expected.item() == pytest.approx(math.pi / 4)
        angle = torch.atan2(imaginary, real)
        torch.testing.assert_close(angle, expected.expand_as(angle), atol=1e-3, rtol=0)

    def test_swapped_channels_conjugate_and_equal_ones_have_no_phase(self):
        sound = placed(delay_stereo, 0.2, 0.9)
        magnitude, cross = magnitude_and_cross(sound)
        _, other = magnitude_and_cross(sound.flip(1))
        torch.testing.assert_close(other, cross * torch.tensor([1.0, -1.0])[:, None, None])
        _, same = magnitude_and_cross(sound[:, :1].expand(-1, 2, -1))
        assert not same[:, 1].any()
        torch.testing.assert_close(same[:, 0], magnitude[:, 0] ** 2, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("drop_bin", ["nyquist", "dc"])
    def test_magnitudes_stay_and_its_own_is_their_product(self, drop_bin):
        sound = torch.randn(3, 2, SAMPLES)
        magnitude, cross = magnitude_and_cross(sound, drop_bin=drop_bin)
        expected = stft_magnitude(sound, drop_bin=drop_bin)
        assert torch.equal(magnitude, expected) and magnitude.stride() == expected.stride()
        torch.testing.assert_close(torch.hypot(*cross.unbind(1)), magnitude.prod(1))
        with pytest.raises(ValueError, match="load it with two channels"):
            magnitude_and_cross(sound[:, :1])


class TestDelays:
    def test_the_grid_by_hand(self):
        expected = torch.arange(-4, 5) / 16_000  # 0.25 ms are 4 samples
        torch.testing.assert_close(delay_grid(0.00025), expected.double())

    def test_two_bins_by_hand(self):
        """Strengths 2 and 1 that both say 0.5 ms: at 1 kHz half a turn, at 2 kHz a whole one.

        Asked for 0, the first says -1 and the second 1: (-2 + 1) / 3. Asked for 0.25 ms, their
        phases are off by a quarter and a half turn: (0 - 1) / 3.
        """
        cross = torch.zeros(1, 2, 1, 65)
        cross[0, 0, 0, [32, 64]] = torch.tensor([-2.0, 1.0])
        delays = torch.tensor([0.0, 0.00025, 0.0005], dtype=torch.float64)
        response = delay_response(cross, steering(delays, 65), (1, 1))
        torch.testing.assert_close(response, torch.tensor([[[[-1 / 3, -1 / 3, 1.0]]]]))

    @pytest.mark.parametrize("drop_bin", ["nyquist", "dc"])
    def test_the_brute_force_twin(self, drop_bin):
        rng = np.random.default_rng(0)
        spectra = rng.normal(size=(2, 4, 12)) + 1j * rng.normal(size=(2, 4, 12))
        delays = delay_grid(0.0002)
        expected = np.zeros((2, 2, 3, len(delays)))
        frequencies = bin_frequencies(torch.arange(12) + first_bin(drop_bin)).tolist()
        for b, t, f in np.ndindex(2, 2, 3):
            cells = [(b, i, j) for i in (2 * t, 2 * t + 1) for j in range(4 * f, 4 * f + 4)]
            for k, delay in enumerate(delays.tolist()):
                turned = sum(
                    spectra[cell] * np.exp(2j * np.pi * frequencies[cell[2]] * delay)
                    for cell in cells
                )
                expected[b, t, f, k] = turned.real / sum(abs(spectra[cell]) for cell in cells)
        cross = torch.from_numpy(np.stack([spectra.real, spectra.imag], 1)).float()
        found = delay_response(cross, steering(delays, 12, drop_bin), (2, 3))
        torch.testing.assert_close(found, torch.from_numpy(expected).float(), atol=1e-5, rtol=1e-5)

    def test_a_sound_is_found_at_its_delay_and_what_differs_at_none(self):
        delays = delay_grid(0.001)
        sound = placed(delay_stereo, 0.0, 0.75, 1.0)  # the left channel later by -8, 4, 8 samples
        _, cross = magnitude_and_cross(sound)
        response = delay_response(cross, steering(delays, 256), (1, 1))[:, 0, 0]
        assert (response.argmax(-1) - 16).tolist() == [-8, 4, 8]
        assert response.amax(-1).min() > 0.95
        _, apart = magnitude_and_cross(torch.randn(1, 2, SAMPLES))
        assert delay_response(apart, steering(delays, 256), (1, 1)).abs().max() < 0.2
        silent = delay_response(torch.zeros(1, 2, 32, 256), steering(delays, 256), SIZE)
        assert silent.shape == (1, *SIZE, 33) and not silent.any()


class TestCode:
    @staticmethod
    def module() -> PhasePosition:
        """What has learned to write the places of delays as a picture's columns are written."""
        module = PhasePosition(embed_dims=64)
        torch.nn.init.eye_(module.delay_project.weight)
        return module.eval()

    @torch.no_grad()
    def test_left_is_told_from_right_by_delay_alone(self):
        """Equal levels: the ratio is 0.5 everywhere, and the code is that of the sound's column."""
        columns = column_codes(10, 32, torch.device("cpu"), torch.float32)
        sound = placed(delay_stereo, *(torch.arange(10) + 0.5).div(10).tolist())
        module, level = self.module(), StereoPosition(embed_dims=64)
        for heard, expected in ((sound, range(10)), (sound.flip(1), range(9, -1, -1))):
            specgram, cross = magnitude_and_cross(heard)
            x, audible = panning(specgram, SIZE)
            torch.testing.assert_close(x, torch.full_like(x, 0.5), atol=0.02, rtol=0)
            assert audible.all()
            second = module(specgram, SIZE, cross=cross) - level(specgram, SIZE)
            # Below 1.5 kHz a phase is one delay alone.
            low = second[..., :3].flatten(2).mean(-1)
            assert (low @ columns).argmax(-1).tolist() == list(expected)

    @torch.no_grad()
    def test_a_crop_moves_the_place(self):
        specgram, cross = magnitude_and_cross(placed(delay_stereo, 0.5, 0.5))
        view = torch.tensor([[0.0, 1.0], [0.0, 0.5]])  # the frame is the left half of the picture
        module = self.module()
        level = StereoPosition(embed_dims=64)(specgram, SIZE, view)
        second = (module(specgram, SIZE, view, cross) - level)[..., :3].flatten(2).mean(-1)
        best = (second @ column_codes(8, 32, torch.device("cpu"), torch.float32)).argmax(-1)
        assert best[0] in (3, 4) and best[1] in (1, 2)

    @torch.no_grad()
    def test_silence_has_its_own_code_and_nothing_else(self):
        module = self.module()
        torch.nn.init.normal_(module.silence_embed)
        sound = placed(delay_stereo, 0.9)
        sound[..., SAMPLES // 2 :] = 1e-6 * torch.randn(1, 2, SAMPLES - SAMPLES // 2)
        specgram, cross = magnitude_and_cross(sound)
        code = module(specgram, (4, 16), cross=cross)
        assert (code[0, :, -1] == module.silence_embed[:, None]).all()

    def test_what_it_can_not_do_is_refused(self):
        with pytest.raises(ValueError, match=r"cross_spectrum=True"):
            self.module()(torch.rand(1, 2, 32, 256), SIZE)
        for delay in (0.00001, 0.5, math.nan):
            with pytest.raises(ValueError, match="edge_delay is"):
                PhasePosition(embed_dims=64, edge_delay=delay)
        for kind, given in (("PhasePosition", False), ("StereoPosition", True)):
            cfg = stereo_cfg(kind, criterion=None)
            cfg["data_preprocessor"]["cross_spectrum"] = given
            with pytest.raises(
                ValueError, match=f"set data_preprocessor.cross_spectrum={not given}"
            ):
                build_tiny(cfg)
        cfg = stereo_cfg("PhasePosition", criterion=None)
        cfg["decode_head"]["stereo_position"]["drop_bin"] = "dc"
        with pytest.raises(ValueError, match="every delay is heard amiss"):
            build_tiny(cfg)


def test_a_trained_position_model_starts_unchanged():
    """To the bit, in training and at test."""
    batch = tiny_batch(channels=2)
    level = build_tiny(stereo_cfg("StereoPosition"))
    phase = build_tiny(stereo_cfg("PhasePosition"), seed=1)
    found = phase.load_state_dict(level.state_dict(), strict=False)
    assert sorted(found.missing_keys) == [
        f"decode_head.stereo_position.{name}" for name in ("delay_project.weight", "delay_shift")
    ]
    losses = [losses_of(model, batch) for model in (level, phase)]
    assert all(torch.equal(losses[0][name], losses[1][name]) for name in losses[0])
    sum(losses[1].values()).backward()
    assert phase.decode_head.stereo_position.delay_project.weight.grad.any()
    one, other = (predictions_of(model, batch)[0].seg_logits.data for model in (level, phase))
    assert torch.equal(one, other)


def test_prompts_hear_the_phases_of_the_mixture(monkeypatch):
    model = build_tiny(stereo_cfg("PhasePosition"))
    heard = []
    extract = model.extract_audio
    monkeypatch.setattr(
        model, "extract_audio", lambda *inputs: heard.append(inputs) or extract(*inputs)
    )
    batch = tiny_batch(channels=2)
    losses_of(model, batch)
    (specgram, _, cross), given = heard[0], model.data_preprocessor(batch, True)["inputs"]
    # Two images of two classes: each has the other's sound for noise.
    for mixed, own in ((specgram, given["specgram"]), (cross, given["cross"])):
        torch.testing.assert_close(mixed, torch.cat([own, own + own.flip(0)]))


class TestDelayedScenes:
    def test_a_delay_of_whole_samples_by_hand(self):
        """At 0.0005 s and place 1 the left channel is 8 samples behind: 4 later, 4 earlier."""
        sound = np.zeros((1, 64), np.float32)
        sound[0, 30] = 1
        left, right = delay_stereo(sound, 1.0)
        assert left.argmax() == 34 and right.argmax() == 26
        np.testing.assert_allclose([left[34], right[26]], 0.5, atol=1e-6)
        np.testing.assert_allclose(delay_stereo(sound, 0.5), np.repeat(sound / 2, 2, 0), atol=1e-6)
        np.testing.assert_allclose(delay_stereo(sound, 0.0), [right, left], atol=1e-6)

    def test_both_laws_are_as_loud_in_the_middle_of_the_channels(self):
        sound = np.random.default_rng(0).normal(0, 0.1, (1, 1000)).astype(np.float32)
        assert set(STEREO) == {"level", "delay"}
        for law in STEREO.values():
            np.testing.assert_allclose(law(sound, 0.5).mean(0), sound[0] / 2, atol=1e-6)
        fraction = delay_stereo(sound, 0.53)  # by about half a sample
        np.testing.assert_allclose((fraction**2).sum(1), (sound**2).sum() / 4, rtol=1e-3)
        assert not np.allclose(*fraction, atol=1e-3)
        with pytest.raises(ValueError, match="position=1.5"):
            delay_stereo(sound, 1.5)
        assert pan_stereo is STEREO["level"]

    @staticmethod
    def scenes(**settings) -> StampsDataset:
        return StampsDataset(
            subset="msmi", split="train", num_scenes=12, image_size=16, num_channels=2,
            offscreen_prob=0.0, silent_prob=0.0, test_mode=True, pipeline=[], **settings,
        )  # fmt: skip

    def test_what_sounds_in_a_scene_is_found_at_its_delay(self):
        """Of the built-in recordings; at place x the left channel is behind by 8 (2 x - 1)."""
        dataset = self.scenes(stereo="delay")
        delays = steering(delay_grid(0.001), 256)
        for index in range(12):
            (source,) = dataset.plan(index).sources
            sound = torch.from_numpy(dataset.compose(index, index)["waveform"])[None]
            magnitude, cross = magnitude_and_cross(sound)
            best = delay_response(cross, delays, (1, 1)).flatten().argmax() - 16
            assert abs(best - 8 * (2 * source.position - 1)) < 1.5
            assert abs(panning(magnitude, (1, 1))[0].item() - 0.5) < 0.005

    def test_clips_follow_the_law_and_others_are_refused(self):
        clips = [
            compose_clip(self.scenes(stereo=law), seconds=0.5, fps=2).waveform for law in STEREO
        ]
        for (left, right), level in zip(clips, (False, True), strict=True):
            assert np.allclose((left**2).sum(), (right**2).sum(), rtol=0.01) == level
        with pytest.raises(ValueError, match=r"stereo='phase': choose one of \['delay', 'level'\]"):
            self.scenes(stereo="phase")
