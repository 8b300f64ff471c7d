"""The ratio mask, its loss, and where the noise comes from."""

import pytest
import torch
import torch.nn.functional as F

from projects.cpm_avs.models.audio_backbones.yamnet import mel_to_linear
from projects.cpm_avs.models.cpm.audio_decoder import AudioDecoder
from projects.cpm_avs.structures import AudioFeatures, SoundMap
from projects.cpm_avs.training.diagnostics.separation import noise_waveform
from projects.cpm_avs.training.prompting.acp_loss import acp_loss, predict_ratio, ratio_mask
from projects.cpm_avs.training.prompting.audio_mask_head import AudioMaskHead
from projects.cpm_avs.training.prompting.offscreen_noise import draw_partners as draw_from_pool
from projects.cpm_avs.training.prompting.offscreen_noise import offscreen_noise


def test_masks_are_scaled_products_with_the_dense_map():
    torch.manual_seed(0)
    # One map is not decoded further, so that the dense embedding is the memory itself.
    head = AudioMaskHead(in_channels=[7], embed_dims=16)
    memory, prompts = torch.randn(1, 16, 2, 3), torch.randn(1, 2, 16)
    masks = head(prompts, AudioFeatures(levels=(SoundMap(torch.zeros(1, 7, 2, 3)),), memory=memory))
    assert masks.shape == (1, 2, 2, 3)
    expected = head.mask_embed(prompts)[0, 1] @ memory[0, :, 1, 2] / 4
    torch.testing.assert_close(masks[0, 1, 1, 2], expected)


@pytest.mark.parametrize("own_frequencies", [True, False])
def test_masks_are_products_with_a_dense_embedding_that_is_never_made(own_frequencies):
    """As if u~_a had been decoded top-down at linear frequencies, D channels of it."""
    torch.manual_seed(0)
    head, decoder = (
        cls(in_channels=[64, 6, 7], embed_dims=32) for cls in (AudioMaskHead, AudioDecoder)
    )
    shapes = ((4, 64, 6, 16), (8, 6, 3, 8), (16, 7, 2, 4))
    levels = tuple(
        SoundMap(
            torch.randn(2, width, frames, bands, requires_grad=True),
            mel_to_linear(stride) if own_frequencies else None,
        )
        for stride, width, frames, bands in shapes
    )
    prompts = torch.randn(2, 3, 32, requires_grad=True)
    learned = [prompts, *(one.cells for one in levels), *head.parameters(), *decoder.parameters()]

    audio = decoder(levels)
    dense = audio.memory
    for level, groups, lateral in zip(levels[1::-1], (2, 32), head.laterals[::-1], strict=True):
        fine = F.group_norm(level.cells, groups)
        if level.to_linear is not None:
            fine = fine @ level.to_linear
        dense = F.interpolate(dense, fine.shape[-2:], mode="bilinear") + torch.einsum(
            "bctf,dc->bdtf", fine, lateral.weight
        )
    expected = torch.einsum("bqd,bdtf->bqtf", head.mask_embed(prompts), dense) / 32**0.5
    found = head(prompts, audio)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(found)
    for own, plain in zip(
        *(
            torch.autograd.grad((one * weight).sum(), learned, retain_graph=True)
            for one in (found, expected)
        ),
        strict=True,
    ):
        torch.testing.assert_close(own / plain.norm(), plain / plain.norm(), rtol=1e-5, atol=1e-5)


def test_gradients_where_the_maps_are_of_frozen_layers():
    """With channels last, as YAMNet's are: there PyTorch's learned group norm crashes."""
    head = AudioMaskHead(in_channels=[64, 7], embed_dims=32)
    frozen = torch.randn(2, 64, 8, 8).to(memory_format=torch.channels_last)
    levels = (SoundMap(frozen), SoundMap(torch.randn(2, 7, 2, 2)))
    head(torch.randn(2, 3, 32), AudioFeatures(levels, torch.randn(2, 32, 2, 2))).sum().backward()
    assert head.laterals[0].weight.grad.abs().sum() > 0


def test_ratio_mask_hand_numbers():
    clean = torch.tensor([[[[1.0, 0.0, 2.0, 0.0]]]])
    noise = torch.tensor([[[[3.0, 5.0, 0.0, 0.0]]]])
    ratio, defined = ratio_mask(clean, noise)
    assert ratio.tolist() == [[[0.25, 0.0, 1.0, 0.0]]]
    assert defined.tolist() == [[[True, True, True, False]]]


def test_the_channels_of_a_stereo_clip_are_averaged():
    clean = torch.tensor([[[[1.0]], [[2.0]]]])
    noise = torch.tensor([[[[0.0]], [[3.0]]]])
    assert ratio_mask(clean, noise)[0].item() == pytest.approx(3 / 6)


@pytest.mark.parametrize("scale", [1e-35, 1e-44, 1e30])
def test_a_ratio_is_between_0_and_1_at_any_loudness(scale):
    clean, noise = torch.rand(2, 2, 1, 5, 7).unbind(0)
    ratio, _ = ratio_mask(scale * clean, scale * noise)
    assert ratio.isfinite().all() and ratio.min() >= 0 and ratio.max() <= 1
    if scale > 1e-40:  # below, floats lose their digits
        torch.testing.assert_close(ratio, ratio_mask(clean, noise)[0])
    assert ratio_mask(clean.half(), noise.half())[0].dtype == torch.float32


def test_prediction_is_the_sigmoid_of_the_summed_masks_of_real_prompts():
    masks = torch.tensor([[1.0, 2.0, 50.0], [-1.0, 70.0, 90.0]])[..., None, None]
    masks = masks.expand(2, 3, 2, 2)
    padding = torch.tensor([[False, False, True], [False, True, True]])
    predicted = predict_ratio(masks, padding, (8, 8))
    assert predicted.shape == (2, 8, 8)
    expected = torch.sigmoid(torch.tensor([3.0, -1.0]))
    torch.testing.assert_close(predicted, expected.view(2, 1, 1).expand(2, 8, 8))


def test_prediction_is_upsampled_before_the_sigmoid():
    masks = torch.tensor([-8.0, 4.0]).view(1, 1, 1, 2)
    predicted = predict_ratio(masks, torch.zeros(1, 1, dtype=torch.bool), (1, 4))
    # Centres of the four bins lie a quarter into and outside of the two cells.
    expected = torch.tensor([-8.0, -5.0, 1.0, 4.0]).sigmoid()
    torch.testing.assert_close(predicted[0, 0], expected)


def test_loss_hand_number():
    predicted = torch.tensor([[[0.5, 0.5, 0.9]]])
    ratio = torch.tensor([[[1.0, 0.25, 0.0]]])
    counted = torch.tensor([[[True, True, False]]])
    loss = acp_loss(predicted, ratio, counted)
    assert loss.item() == pytest.approx((0.25 + 0.0625) / 2)


def test_nothing_that_counts_gives_zero_and_a_live_graph():
    masks = torch.randn(2, 3, 2, 2, requires_grad=True)
    padding = torch.ones(2, 3, dtype=torch.bool)
    predicted = predict_ratio(masks, padding, (4, 4))
    loss = acp_loss(predicted, torch.rand(2, 4, 4), torch.zeros(2, 4, 4, dtype=torch.bool))
    assert loss == 0
    loss.backward()
    assert (masks.grad == 0).all()


def test_gradient_in_float64():
    generator = torch.Generator().manual_seed(0)
    masks = torch.randn(2, 2, 2, 3, generator=generator, dtype=torch.float64)
    padding = torch.tensor([[False, False], [False, True]])
    ratio = torch.rand(2, 4, 6, generator=generator, dtype=torch.float64)
    counted = torch.rand(2, 4, 6, generator=generator) > 0.3

    def loss(masks):
        return acp_loss(predict_ratio(masks, padding, (4, 6)), ratio, counted)

    assert loss(masks).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, masks.requires_grad_())


def tags(*classes: list[int]) -> torch.Tensor:
    sounding = torch.zeros(len(classes), 5, dtype=torch.bool)
    for row, own in zip(sounding, classes, strict=True):
        row[own] = True
    return sounding


def draw_partners(sounding, audible) -> torch.Tensor:
    """The batch is all that there is to draw from."""
    return draw_from_pool(sounding, audible, torch.arange(len(sounding)))


def test_partners_share_no_class_and_are_audible():
    sounding = tags([1], [1, 2], [3], [2])
    audible = torch.tensor([True, True, True, False])
    draws = torch.stack([draw_partners(sounding, audible) for _ in range(200)])
    allowed = [{2}, {2}, {0, 1}, {0, 2}]  # 3 is silent; 3 and 1 share class 2
    for column, expected in zip(draws.T.tolist(), allowed, strict=True):
        assert set(column) == expected
    assert 60 < (draws[:, 2] == 0).sum() < 140  # uniform over those possible


def test_no_partner_is_minus_one():
    audible = torch.tensor([True, True])
    assert draw_partners(tags([1], [1]), audible).tolist() == [-1, -1]
    assert draw_partners(tags([1]), audible[:1]).tolist() == [-1]
    assert draw_partners(tags([]), audible[:1]).tolist() == [-1]  # nor is it its own
    assert draw_partners(tags([1], [2]), ~audible).tolist() == [-1, -1]


def test_a_sample_in_which_nothing_sounds_is_noise_for_others_but_not_for_itself():
    assert draw_partners(tags([1], []), torch.tensor([True, True])).tolist() == [1, 0]


def test_noise_from_the_batch():
    inputs = dict(specgram=torch.rand(3, 1, 2, 4) + 0.1, waveform=torch.rand(3, 1, 9))
    inputs["specgram"][2] = 0
    torch.manual_seed(0)
    without = offscreen_noise(inputs, tags([1], [2], [2]))
    inputs["cross"] = torch.randn(3, 2, 2, 4)
    torch.manual_seed(0)
    noise = offscreen_noise(inputs, tags([1], [2], [2]))
    assert torch.equal(noise.specgram, without.specgram) and without.cross is None
    assert noise.mixed.tolist() == [True, True, True]
    for index, partner in enumerate([1, 0, 0]):  # for 0, the other disjoint one is silent
        assert torch.equal(noise.specgram[index], inputs["specgram"][partner])
        assert torch.equal(noise.cross[index], inputs["cross"][partner])
        heard = noise_waveform(inputs, noise)[index]
        assert torch.equal(heard, inputs["waveform"][partner])
    nothing = offscreen_noise(inputs, tags([1], [1], [1]))
    assert not nothing.mixed.any() and not nothing.specgram.any()
    assert not noise_waveform(inputs, nothing).any()


def test_noise_from_the_data_set_comes_first():
    inputs = dict(specgram=torch.rand(2, 1, 2, 4), waveform=torch.rand(2, 1, 9))
    inputs |= dict(noise_specgram=torch.rand(2, 1, 2, 4), noise_waveform=torch.rand(2, 1, 9))
    inputs["noise_specgram"][1] = 0
    inputs["noise_cross"] = torch.randn(2, 2, 2, 4)
    noise = offscreen_noise(inputs, tags([1], [2]))
    assert noise.specgram is inputs["noise_specgram"]
    assert noise.cross is inputs["noise_cross"]
    assert noise_waveform(inputs, noise) is inputs["noise_waveform"]
    assert noise.mixed.tolist() == [True, False]
