"""Pictures: what is coloured, named and framed, and that classes can be told apart."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from PIL import Image

from projects.cpm_avs.visualization import AVSVisualizationHook
from projects.cpm_avs.visualization.colors import OKABE_ITO, class_color, class_pattern
from projects.cpm_avs.visualization.drawing import MaskPainter, put_text
from projects.cpm_avs.visualization.plots import (
    SeparationRow,
    SheetRow,
    acp_figure,
    contact_sheet,
    sound_figure,
)
from projects.cpm_avs.visualization.spectrogram_strip import SpectrogramStrip, clip_spectrogram

CLASSES = ("background", "dog", "drum")


def sine(frequency: float, duration: float = 1.0, rate: int = 16000) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(duration * rate) / rate)[None].astype("f")


def sample(prediction: np.ndarray, truth: np.ndarray | None = None, **meta) -> SegDataSample:
    made = SegDataSample(metainfo=meta)
    made.pred_sem_seg = PixelData(data=torch.from_numpy(prediction)[None])
    if truth is not None:
        made.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    return made


def square(size: int = 300, label: int = 1) -> np.ndarray:
    labels = np.zeros((size, size), np.int64)
    labels[150:250, 150:250] = label
    return labels


class TestColours:
    def test_seventy_classes_look_different(self):
        looks = {(class_color(k), class_pattern(k).tobytes()) for k in range(1, 85)}
        assert len(looks) == 84

    @pytest.mark.parametrize("matrix", ["protan", "deutan"])
    def test_red_green_blind_people_can_tell_colours_apart(self, matrix):
        # Vienot, Brettel & Mollon 1999, linear RGB.
        simulation = {
            "protan": [[0.1124, 0.8876, 0], [0.1124, 0.8876, 0], [0.0040, -0.0040, 1]],
            "deutan": [[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]],
        }[matrix]
        linear = (np.array(OKABE_ITO) / 255) ** 2.2
        seen = np.clip(linear @ np.array(simulation).T, 0, 1) ** (1 / 2.2)
        image = seen[None].astype(np.float32)
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)[0]
        distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
        assert distances[np.triu_indices(len(lab), 1)].min() > 10


class TestMaskPainter:
    def test_only_the_object_is_coloured(self):
        grey = np.full((300, 300, 3), 128, np.uint8)
        drawn = MaskPainter(CLASSES).paint(grey, square(), scores={1: 0.9})
        # Beside the name in the middle: 60 % of vermillion.
        expected = 0.4 * 128 + 0.6 * np.array(class_color(1))
        np.testing.assert_allclose(drawn[165, 165], expected, atol=2)
        np.testing.assert_array_equal(drawn[260:, :], grey[260:, :])
        assert (drawn[:40, :40] != 128).any()  # the legend
        assert (grey == 128).all()  # the picture handed in stays

    def test_contour_is_white_and_coloured(self):
        drawn = MaskPainter(CLASSES).paint(np.zeros((300, 300, 3), np.uint8), square())
        column = drawn[200, 145:155].astype(int)
        assert column.min(1).max() > 200  # white
        assert (np.abs(column - class_color(1)).max(1) < 30).any()

    def test_ignored_pixels_and_unknown_labels_are_left_alone(self):
        grey = np.full((300, 300, 3), 128, np.uint8)
        drawn = MaskPainter(CLASSES).paint(grey, square(label=255).astype(np.uint8))
        np.testing.assert_array_equal(drawn[150:250, 150:250], grey[150:250, 150:250])

    def test_hatching_does_not_move_with_the_object(self):
        names = ["background"] + [f"class {k}" for k in range(1, 10)]
        black = np.zeros((300, 300, 3), np.uint8)
        labels, moved = square(label=8), np.roll(square(label=8), 5, axis=1)
        one, two = (MaskPainter(names).paint(black, x) for x in (labels, moved))
        np.testing.assert_array_equal(one[160:180, 165:240], two[160:180, 165:240])

    def test_tiny_picture(self):
        drawn = MaskPainter(CLASSES).paint(np.zeros((5, 7, 3), np.uint8), np.ones((5, 7), int))
        assert drawn.shape == (5, 7, 3)

    def test_text_off_the_picture(self):
        picture = np.zeros((20, 20, 3), np.uint8)
        put_text(picture, "wide text", -5, -3, 14)
        put_text(picture, "wide text", 15, 15, 14)
        put_text(picture, "wide text", 40, 40, 14)
        assert picture.any()


class TestSpectrogram:
    def test_tone_is_at_its_frequency(self):
        values = clip_spectrogram([sine(2000)], duration=1.0, sample_rate=16000, columns=50)
        assert values.shape == (256, 50)
        assert (values.argmax(0) == 64).all()  # 2000 Hz / 31.25 Hz

    def test_chunks_do_not_matter(self):
        sound = np.concatenate([sine(500), sine(3000)], axis=1)
        whole = clip_spectrogram([sound], duration=2.0, sample_rate=16000, columns=80)
        pieces = np.split(sound, range(700, 32000, 700), axis=1)
        parts = clip_spectrogram(iter(pieces), duration=2.0, sample_rate=16000, columns=80)
        np.testing.assert_allclose(whole, parts, atol=1e-4)
        assert whole[:, 10].argmax() == 16 and whole[:, 70].argmax() == 96

    def test_no_column_is_empty(self):
        noise = np.random.default_rng(0).normal(0, 0.3, (1, 96000)).astype("f")
        values = clip_spectrogram([noise], duration=6.0, sample_rate=16000, columns=1024)
        assert values.shape == (256, 600) and values.max(0).min() > 0.5

    def test_silence_is_zero(self):
        silence = np.zeros((1, 8000), np.float32)
        values = clip_spectrogram([silence], duration=0.5, sample_rate=16000, columns=9)
        assert values.shape == (256, 9) and values.max() == 0

    def test_cursor(self):
        values = np.zeros((256, 9), np.float32)
        strip = SpectrogramStrip(values, duration=4.0, width=201, height=40, sample_rate=16000)
        bare = strip.at(None)
        assert bare.shape == (40, 201, 3)
        changed = (strip.at(3.0) != bare).any(axis=(0, 2)).nonzero()[0]
        assert changed.tolist() == [149, 150, 151]
        np.testing.assert_array_equal(strip.at(3.0)[:, 150], np.full((40, 3), 255))


class TestVisualizer:
    @pytest.fixture
    def visualizer(self):
        init_default_scope("mmseg")
        made = VISUALIZERS.build(dict(type="AVSLocalVisualizer", name="test", save_dir=None))
        made.dataset_meta = dict(classes=CLASSES, palette=[[0, 0, 0]] * 3)
        return made

    def test_truth_prediction_and_sound(self, visualizer, tmp_path):
        image = np.full((300, 300, 3), 90, np.uint8)
        visualizer.add_datasample(
            "x", image, sample(square(label=2), square()), out_file=str(tmp_path / "x.png"),
            waveform=sine(1000), time=0.5,
        )  # fmt: skip
        drawn = cv2.imread(str(tmp_path / "x.png"))[..., ::-1].astype(int)
        assert drawn.shape == (300 + 60, 600, 3)
        truth, prediction = drawn[165, 165], drawn[165, 465]
        assert np.abs(truth - (0.4 * 90 + 0.6 * np.array(class_color(1)))).max() <= 2
        assert np.abs(prediction - (0.4 * 90 + 0.6 * np.array(class_color(2)))).max() <= 2
        assert (drawn[310:350, 299] > 250).all()  # the cursor, in the middle

    def test_small_pictures_are_enlarged(self, visualizer, tmp_path):
        labels = np.zeros((96, 96), np.int64)
        out = tmp_path / "x.png"
        visualizer.add_datasample("x", np.zeros((96, 96, 3), np.uint8), sample(labels, labels),
                                  out_file=str(out), draw_gt=False)  # fmt: skip
        assert cv2.imread(str(out)).shape == (288, 288, 3)

    def test_hook_draws_scenes_that_lie_in_no_file(self, visualizer):
        drawn = []
        visualizer.add_image = lambda name, image, step: drawn.append((name, image.shape, step))
        hook = AVSVisualizationHook(draw=True)
        hook._visualizer = visualizer
        meta = dict(img_path="stamps/00003.png", clip_id="stamps/00003", ori_shape=(300, 300))
        inputs = dict(
            img=[torch.full((3, 300, 300), 90, dtype=torch.uint8)],
            waveform=[torch.from_numpy(sine(440))],
        )
        outputs = [sample(square(), square(), **meta)]
        hook.after_test_iter(None, 0, dict(inputs=inputs), outputs)
        assert drawn == [("test_00003", (360, 600, 3), 1)]

    def test_hook_draws_a_file_at_the_size_of_the_labels(self, visualizer, tmp_path):
        """As where a protocol resizes frames and labels: masks lie on their objects."""
        pictures = []
        visualizer.add_image = lambda name, image, step: pictures.append(image)
        hook = AVSVisualizationHook(draw=True)
        hook._visualizer = visualizer
        path = tmp_path / "frame.png"
        cv2.imwrite(str(path), np.full((450, 900, 3), 90, np.uint8))
        inputs = dict(
            img=[torch.zeros((3, 300, 300), dtype=torch.uint8)],
            waveform=[torch.from_numpy(sine(440))],
        )
        outputs = [sample(square(), square(), img_path=str(path), ori_shape=(300, 300))]
        hook.after_test_iter(None, 0, dict(inputs=inputs), outputs)
        assert pictures[0].shape == (360, 600, 3)
        np.testing.assert_allclose(
            pictures[0][165, 165], 0.4 * 90 + 0.6 * np.array(class_color(1)), atol=2
        )
        assert (pictures[0][280, 50] == 90).all()  # the file's picture, not the packed one

    def test_hook_does_not_turn_a_picture_away_from_its_mask(self, tmp_path):
        rows = np.repeat(np.arange(0, 240, 10, np.uint8), 32).reshape(24, 32)
        orientation = Image.Exif()
        orientation[0x0112] = 6  # a quarter turn
        path = tmp_path / "frame.png"
        Image.fromarray(rows).convert("RGB").save(path, exif=orientation)
        data_sample = sample(square(), square(), img_path=str(path), ori_shape=(24, 32))
        picture = AVSVisualizationHook()._picture(data_sample, torch.zeros(3, 24, 32))
        assert np.array_equal(picture[..., 0], rows)


class TestPlots:
    def test_contact_sheet(self, tmp_path):
        image = np.full((64, 96, 3), 90, np.uint8)
        labels = np.ones((64, 96), np.int64)
        two = {"baseline": labels, "prediction": 0 * labels}
        rows = [SheetRow(image, sine(440), labels, two, "a"),
                SheetRow(image, sine(440), None, two)]  # fmt: skip
        figure = contact_sheet(rows, CLASSES)
        titles = [axis.get_title() for axis in figure.axes[:5]]
        assert titles == ["frame", "sound", "truth", "baseline", "prediction"]
        assert len(figure.axes) == 10
        named = [axis.get_xlabel() for axis in figure.axes[2:5]]
        assert named == [CLASSES[1], CLASSES[1], "no object sounds"]
        figure.savefig(tmp_path / "sheet.png")
        with pytest.raises(ValueError, match="at least one"):
            contact_sheet([], CLASSES)

    def test_acp_figure_shows_the_ratio(self, tmp_path):
        source, noise = np.ones((96, 256), "f"), np.full((96, 256), 3, "f")
        ratio = torch.from_numpy(source / (source + noise))
        rows = [
            SeparationRow(source + noise, noise, ratio, ratio, ratio + 0.125, "dog"),
            SeparationRow(torch.from_numpy(source), 0 * noise, ratio.square(), 1 - ratio, ratio),
        ]
        figure = acp_figure(rows)
        figure.savefig(tmp_path / "acp.png")
        shown = [axis.images[0] for axis in figure.axes[:10]]
        means = [float(image.get_array().mean()) for image in shown]
        silence = 20 * np.log10(1e-5)
        quarter = 20 * np.log10(0.75)
        expected = [0, quarter, 0.25, 0.25, 0.375, 0, silence, 0.0625, 0.75, 0.25]
        np.testing.assert_allclose(means, expected, atol=1e-3)
        limits = [image.get_clim() for image in shown]
        assert limits == [(-60, 0), (-60, 0), (0, 1), (0, 1), (0, 1)] * 2
        assert figure.axes[4].get_title() == "without hearing"
        assert shown[0].get_array().shape == (256, 96)  # frequency upwards, time to the right
        assert figure.axes[0].get_ylabel().startswith("dog")
        with pytest.raises(ValueError, match="at least one"):
            acp_figure([])

    def test_timeline(self):
        values = np.zeros((256, 20), np.float32)
        segments = [("dog", 1, 0.0, 1.0), ("drum", 2, 0.5, 2.0), ("dog", 1, 3.0, 4.0)]
        figure = sound_figure(values, segments, 5.0)
        timeline = figure.axes[1]
        assert [text.get_text() for text in timeline.get_yticklabels()] == ["dog", "drum"]
        bars = [(bar.get_x(), bar.get_width(), bar.get_y() + 0.35) for bar in timeline.patches]
        np.testing.assert_allclose(bars, [(0, 1, 0), (0.5, 1.5, 1), (3, 1, 0)], atol=1e-9)
        assert not timeline.lines
        (mark,) = sound_figure(values, [("dog", 1, 2.5, 2.5)], 5.0).axes[1].lines  # an image
        assert mark.get_xydata().tolist() == [[2.5, 0]]
        sound_figure(values, [], 5.0).canvas.draw()
