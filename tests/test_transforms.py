"""Loading frames, masks and windows, the stereo flip, and what is packed."""

import numpy as np
import pytest
import soundfile
import torch
from mmseg.registry import TRANSFORMS
from mmseg.structures import SegDataSample
from PIL import Image
from toy_avs import HEIGHT, LOAD, WIDTH, ToySet, write_toy_files

from projects.cpm_avs.datasets.mask_decoding import (
    decode_mask,
    read_labels,
    read_mask,
    values_in,
)
from projects.cpm_avs.datasets.palette import voc_palette
from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.media.sound_io import load_waveform

pytestmark = pytest.mark.usefixtures("mmseg_scope")

PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]]


@pytest.fixture
def root(tmp_path):
    return write_toy_files(tmp_path, 1)


def load(root, *transforms: dict, **entry):
    dataset = ToySet(root=root, count=1, pipeline=[], test_mode=True)
    results = dataset.get_data_info(0) | entry
    for transform in [*LOAD[:2], *transforms]:
        results = TRANSFORMS.build(transform)(results)
    return results


def refused(path, reason: str, root) -> None:
    with pytest.raises(BadSampleError) as caught:
        load(root)
    assert caught.value.path == str(path) and reason in str(caught.value)


# ---- frames


def test_frame_defects_are_named(root):
    frame = root / "0.jpg"
    content = frame.read_bytes()
    for broken, reason in ((b"", "decoded"), (content[:400], "decoded"), (b"no jpeg", "decoded")):
        frame.write_bytes(broken)
        refused(frame, reason, root)
    frame.unlink()
    refused(frame, "missing", root)


def test_pictures_of_a_size_that_no_picture_has_are_named(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # from twice as many on Pillow raises
    with pytest.raises(BadSampleError, match=r"0\.jpg.*decoded"):
        TRANSFORMS.build(LOAD[0])(dict(img_path=str(root / "0.jpg")))
    with pytest.raises(BadSampleError, match=r"0\.png.*decoded"):
        read_mask(root / "0.png")


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_frames_of_more_than_8_bits_are_refused(root, kind):
    """Pillow would show white in their place."""
    frame = root / "deep.tiff"
    Image.fromarray(np.full((HEIGHT, WIDTH), 300, kind)).save(frame)
    with pytest.raises(BadSampleError, match=r"deep\.tiff: .*mode (I|I;16|F). Save it with 8 bits"):
        load(root, img_path=str(frame))


def test_a_frame_starts_no_program(root, monkeypatch):
    """Pillow would have Ghostscript draw it."""
    frame = root / "0.jpg"
    frame.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n")
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_: pytest.fail("started"))
    refused(frame, "cannot identify image file", root)


def test_exif_does_not_turn_the_frame_away_from_its_mask(root):
    image = load(root)["img"]
    orientation = Image.Exif()
    orientation[0x0112] = 3  # upside down
    picture = Image.fromarray(image[..., ::-1].copy())
    picture.save(root / "0.jpg", format="PNG", exif=orientation)
    assert np.array_equal(load(root)["img"], image)


def test_frame_is_bgr(root):
    Image.new("RGB", (WIDTH, HEIGHT), (250, 120, 10)).save(root / "0.png.jpg", quality=100)
    image = load(root, img_path=str(root / "0.png.jpg"))["img"]
    assert image.shape == (HEIGHT, WIDTH, 3) and image.dtype == np.uint8
    np.testing.assert_allclose(image[5, 5].astype(int), [10, 120, 250], atol=3)


# ---- masks


def test_mask_of_another_size_names_both_files(root):
    Image.new("L", (WIDTH, HEIGHT + 1)).save(root / "0.png")
    refused(root / "0.png", f"{WIDTH}x{HEIGHT + 1} px, its frame {root / '0.jpg'}", root)


def test_mask_defects_are_named(root):
    mask = root / "0.png"
    content = mask.read_bytes()
    for broken in (b"", content[:50], b"no png"):
        mask.write_bytes(broken)
        refused(mask, "can't be decoded", root)
    for mode in ("L", "RGB"):  # of class 27 it makes 26 and 28, too
        Image.new(mode, (WIDTH, HEIGHT)).save(mask, "JPEG")
        refused(mask, "is a JPEG, which changes values", root)
    Image.new("RGB", (WIDTH, HEIGHT)).save(mask)
    refused(mask, "mode RGB", root)
    Image.new("L", (WIDTH, HEIGHT), 4).save(mask)
    refused(mask, "the value 4, which is not one of the 4 classes", root)
    Image.new("I;16", (WIDTH, HEIGHT), 1000).save(mask)
    refused(mask, "holds 1000", root)
    Image.fromarray(np.full((HEIGHT, WIDTH), -1, np.int32)).save(mask, "TIFF")
    refused(mask, "holds -1", root)  # which became 255, ignored
    mask.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 24\n%%EndComments\n")
    refused(mask, "cannot identify image file", root)  # Pillow would start Ghostscript
    mask.unlink()
    refused(mask, "missing", root)


def test_frame_without_label(root):
    assert "gt_seg_map" not in load(root, seg_map_path=None)


def decode(values, encoding="index", label_map=None):
    return decode_mask(
        np.array(values, np.uint8),
        "mask.png",
        encoding=encoding,
        num_classes=4,
        palette=PALETTE,
        label_map=label_map,
    ).tolist()


def test_index_masks():
    assert decode([[0, 3], [255, 1]]) == [[0, 3], [255, 1]]
    # Car 3 -> 2 and airplane 5 -> 3 through a table: no pixel is mapped twice.
    assert decode([[0, 3], [5, 255]], label_map={0: 0, 3: 2, 5: 3, 2: 1}) == [[0, 2], [3, 255]]
    with pytest.raises(BadSampleError, match="the value 7, 9"):
        decode([[9, 3], [5, 7]], label_map={0: 0, 3: 2, 5: 3})


def test_binary_masks():
    assert decode([[0, 45], [255, 1]], encoding="binary") == [[0, 1], [1, 1]]


def test_color_masks():
    colors = [[[0, 0, 0], [0, 0, 255]], [[0, 255, 0], [255, 0, 0]]]
    assert decode(colors, encoding="color") == [[0, 3], [2, 1]]
    colors[0][0] = [1, 0, 0]
    with pytest.raises(BadSampleError, match=r"the colour \[1, 0, 0\]"):
        decode(colors, encoding="color")


def test_palette_and_bilevel_pictures_give_their_indices(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    palette.putdata([2, 1])
    palette.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png").tolist() == [[2, 1]]
    assert read_mask(tmp_path / "p.png", color=True).tolist() == [[[0, 200, 0], [200, 0, 0]]]
    Image.new("1", (2, 1), 1).save(tmp_path / "b.png")
    assert read_mask(tmp_path / "b.png").tolist() == [[1, 1]]


@pytest.mark.parametrize("shown_in", ["colours", "grey"])
def test_a_mask_that_was_saved_with_fewer_colours_is_refused(tmp_path, shown_in):
    """Programs that make pictures small keep the colours that occur, and number them anew."""
    colors = voc_palette(71)
    labels = np.zeros((8, 8), np.uint8)
    labels[2:4], labels[5:] = 5, 37
    whole = Image.fromarray(labels)
    if shown_in == "colours":
        whole.putpalette(np.array(colors, np.uint8).ravel().tolist())
    whole.save(tmp_path / "whole.png")
    assert np.array_equal(read_labels(tmp_path / "whole.png", "index", colors), labels)
    fewer = whole.convert("RGB").quantize(8)
    fewer.save(tmp_path / "fewer.png")
    told = r"fewer\.png: the mask shows class (5|37) under the value \d: .* 3 colours .*mode L"
    with pytest.raises(BadSampleError, match=told):
        read_labels(tmp_path / "fewer.png", "index", colors)
    assert (read_labels(tmp_path / "fewer.png", "binary", colors) < 3).all()
    # Few colours of one's own say nothing.
    own = Image.fromarray(labels // 5 % 3)
    own.putpalette([0, 0, 0, 255, 255, 255, 90, 200, 10])
    own.save(tmp_path / "own.png")
    assert read_labels(tmp_path / "own.png", "index", colors).max() == 1


# ---- sound


def test_window_starts_at_the_frames_second(root):
    whole = load_waveform(root / "0.wav", channels=2)
    window = dict(type="LoadAudioWindow", num_samples=1000, channels=2)
    results = load(root, window, audio_start=0.5)
    assert np.array_equal(results["waveform"], whole[:, 8000:9000])
    assert results["sample_rate"] == 16000
    assert np.array_equal(load(root, window, audio_start=-3.0)["waveform"], whole[:, :1000])
    assert np.array_equal(load(root, window, audio_start=9.0)["waveform"], whole[:, -1000:])


def test_short_and_silent_sounds(root):
    soundfile.write(root / "0.wav", np.full(100, 0.5), 16000, subtype="FLOAT")
    waveform = load(root, dict(type="LoadAudioWindow"))["waveform"]
    assert waveform.shape == (1, 15360) and np.all(waveform == 0.5)
    soundfile.write(root / "0.wav", np.zeros(100), 16000)
    assert not load(root, dict(type="LoadAudioWindow"))["waveform"].any()


# ---- flip


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
def test_flip_swaps_ears_with_left_and_right_only(root, direction):
    window = dict(type="LoadAudioWindow", channels=2)
    plain = load(root, window)
    flipped = load(root, window, dict(type="AVSRandomFlip", prob=1.0, direction=direction))
    axes = dict(horizontal=(1,), vertical=(0,), diagonal=(0, 1))[direction]
    assert np.array_equal(flipped["img"], np.flip(plain["img"], axes))
    assert np.array_equal(flipped["gt_seg_map"], np.flip(plain["gt_seg_map"], axes))
    ears = plain["waveform"] if direction == "vertical" else plain["waveform"][[1, 0]]
    assert np.array_equal(flipped["waveform"], ears)
    assert not np.array_equal(plain["waveform"][0], plain["waveform"][1])


def test_flip_leaves_mono_alone(root):
    window = dict(type="LoadAudioWindow")
    flipped = load(root, window, dict(type="AVSRandomFlip", prob=1.0), dict(type="PackAVSInputs"))
    waveform = torch.from_numpy(load(root, window)["waveform"])
    assert torch.equal(flipped["inputs"]["waveform"], waveform)


# ---- what sounds


def test_a_crop_leaves_what_sounds_alone(root):
    """The sound is still there when its object is outside of the picture."""
    values = np.full((HEIGHT, WIDTH), 255, np.uint8)
    values[:16, :16], values[0, 0], values[-1, -1] = 0, 2, 3
    Image.fromarray(values).save(root / "0.png")
    dataset = ToySet(root=root, count=1, known_classes=False, pipeline=LOAD, test_mode=True)
    results = TRANSFORMS.build(dict(type="RandomCrop", crop_size=(8, 8)))(dataset[0])
    assert results["sound_classes"] == [2, 3]
    assert len(np.unique(results["gt_seg_map"])) < 4  # 8 x 8 pixels can't hold both corners

    told = ToySet(root=root, count=1, pipeline=LOAD, test_mode=True)[0]
    assert told["sound_classes"] == [1]  # the data set's word


# ---- packing


def test_packed_sample(root):
    packed = load(root, dict(type="LoadAudioWindow"), dict(type="PackAVSInputs"))
    image, waveform = packed["inputs"]["img"], packed["inputs"]["waveform"]
    assert image.shape == (3, HEIGHT, WIDTH) and image.dtype == torch.uint8
    assert waveform.shape == (1, 15360) and waveform.dtype == torch.float32
    sample = packed["data_samples"]
    assert isinstance(sample, SegDataSample)
    label = sample.gt_sem_seg.data
    assert label.shape == (1, HEIGHT, WIDTH) and label.dtype == torch.int64
    assert label.unique().tolist() == [0, 1]
    assert sample.clip_id == "0" and sample.frame_index == 0 and sample.subset == "toy"
    assert sample.sound_classes == [1] and sample.ori_shape == (HEIGHT, WIDTH)
    assert sample.img_path.endswith("0.jpg") and sample.audio_path.endswith("0.wav")
    assert sample.audio_condition == "normal"


def test_packed_sample_without_label(root):
    window = dict(type="LoadAudioWindow")
    packed = load(root, window, dict(type="PackAVSInputs"), seg_map_path=None)
    assert "gt_sem_seg" not in packed["data_samples"]


@pytest.mark.parametrize("values", [[0, 255, 3, 3], [7, 7, 7, 7]])
def test_values_in_a_map_are_those_that_occur(values):
    classes = np.array(values, np.uint8).reshape(2, 2)
    assert values_in(classes) == np.unique(classes).tolist()
