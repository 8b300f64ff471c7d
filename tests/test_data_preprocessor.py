"""Batches of images and sounds: colours, padding, metainfo, spectrogram."""

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors.base import BaseSegmentor
from mmseg.structures import SegDataSample

from projects.cpm_avs.models.data_preprocessor import AVDataPreprocessor
from projects.cpm_avs.models.spectrogram import stft_magnitude

MEAN, STD = (10.0, 20.0, 30.0), (1.0, 2.0, 4.0)


def sample(height: int, width: int, *, value: int = 1) -> tuple[torch.Tensor, SegDataSample]:
    data_sample = SegDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width)))
    labels = torch.full((1, height, width), value, dtype=torch.int64)
    data_sample.gt_sem_seg = PixelData(data=labels)
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[0], image[1], image[2] = 50, 40, 30  # B, G, R
    return image, data_sample


def batch(*sizes: tuple[int, int], length: int = 1600, channels: int = 1) -> dict:
    images, data_samples = zip(*(sample(*size) for size in sizes), strict=True)
    generator = torch.Generator().manual_seed(0)
    waveform = [torch.rand(channels, length, generator=generator) for _ in sizes]
    return dict(inputs=dict(img=list(images), waveform=waveform), data_samples=list(data_samples))


def preprocessor(**options: object) -> AVDataPreprocessor:
    return AVDataPreprocessor(mean=MEAN, std=STD, **options)


def test_colours_are_swapped_before_they_are_normalised() -> None:
    out = preprocessor(size_divisor=1)(batch((2, 2)))
    np.testing.assert_array_equal(out["inputs"]["img"][0, :, 0, 0], [20.0, 10.0, 5.0])
    out = preprocessor(size_divisor=1, bgr_to_rgb=False)(batch((2, 2)))
    np.testing.assert_array_equal(out["inputs"]["img"][0, :, 0, 0], [40.0, 10.0, 0.0])


def test_training_pads_images_with_zero_and_labels_with_255() -> None:
    out = preprocessor(size_divisor=8)(batch((5, 9), (7, 3)), True)
    img = out["inputs"]["img"]
    assert img.shape == (2, 3, 8, 16)
    assert img[0, :, 5:].abs().sum() == 0 and img[0, :, :, 9:].abs().sum() == 0
    assert (img[0, 0, :5, :9] == 20).all()
    labels = out["data_samples"][1].gt_sem_seg.data
    assert labels.shape == (1, 8, 16)
    assert (labels[0, :7, :3] == 1).all() and int((labels == 255).sum()) == 8 * 16 - 7 * 3
    assert tuple(out["data_samples"][1].img_shape) == (7, 3)


def test_at_test_labels_stay_and_the_padding_can_be_taken_off() -> None:
    out = preprocessor(size_divisor=8)(batch((5, 9), (7, 3)))
    assert out["inputs"]["img"].shape == (2, 3, 8, 16)
    for data_sample, size in zip(out["data_samples"], [(5, 9), (7, 3)], strict=True):
        assert data_sample.gt_sem_seg.data.shape == (1, *size)
        assert tuple(data_sample.pad_shape) == (8, 16)
    # Scores that are 1 on the image and 0 on the padding come back as 1 everywhere.
    scores = torch.zeros(2, 2, 8, 16)
    scores[0, 1, :5, :9] = 1
    scores[1, 1, :7, :3] = 1
    segmentor = type("Segmentor", (), dict(align_corners=False))()
    results = BaseSegmentor.postprocess_result(segmentor, scores, out["data_samples"])
    for result, size in zip(results, [(5, 9), (7, 3)], strict=True):
        assert result.pred_sem_seg.data.shape == (1, *size)
        assert (result.pred_sem_seg.data == 1).all()


@pytest.mark.parametrize("drop_bin", ["nyquist", "dc"])
def test_spectrogram_is_that_of_the_stacked_waveforms(drop_bin: str) -> None:
    data = batch((4, 4), (4, 4), length=15360, channels=2)
    waveform = torch.stack(data["inputs"]["waveform"])
    inputs = preprocessor(drop_bin=drop_bin)(data)["inputs"]
    assert inputs["specgram"].shape == (2, 2, 96, 256)
    assert torch.equal(inputs["waveform"], waveform)
    assert torch.equal(inputs["specgram"], stft_magnitude(waveform, drop_bin=drop_bin))


def test_without_data_samples() -> None:
    data = batch((4, 4))
    del data["data_samples"]
    out = preprocessor()(data)
    assert out["data_samples"] is None and out["inputs"]["img"].shape == (1, 3, 32, 32)


def test_what_was_not_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="no 'inputs': its pipeline must end in PackAVSInputs"):
        preprocessor()(dict(img_path=["a.jpg"]))


def test_waveforms_of_two_lengths_and_an_unknown_bin_are_refused() -> None:
    data = batch((4, 4), (4, 4))
    data["inputs"]["waveform"][1] = torch.zeros(2, 1600)
    with pytest.raises(ValueError, match=r"\(1, 1600\), \(2, 1600\).*can't share a batch"):
        preprocessor()(data)
    with pytest.raises(ValueError, match="'top'"):
        preprocessor(drop_bin="top")


def test_nothing_of_it_is_saved() -> None:
    assert not preprocessor().state_dict()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_graph_computes_what_a_batch_of_one_size_gives(channels: int) -> None:
    made = preprocessor(size_divisor=8, pad_val=3.0, cross_spectrum=channels == 2)
    data = batch((5, 9), (5, 9), channels=channels)
    found = made.network_inputs(
        torch.stack(data["inputs"]["img"]), torch.stack(data["inputs"]["waveform"])
    )
    expected = made(data)["inputs"]
    assert torch.equal(found.pop("view"), expected.pop("view", torch.tensor([[0, 9 / 16]] * 2)))
    del expected["waveform"]
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name
