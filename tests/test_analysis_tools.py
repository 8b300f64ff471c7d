"""tools/get_flops.py and tools/confusion_matrix.py, in the place of mmseg's."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image
from tiny_config import shrink
from typed_tools import tool

from projects.cpm_avs.errors import UserError
from projects.cpm_avs.visualization.confusion_figure import confusion_figure

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The small model's config, made tiny, with two scenes of the test."""
    path = tmp_path / "tiny.py"
    shrink(Config.fromfile(ROOT / "configs/cpm_mbv2-yamnet_stamps.py"), narrow=False).dump(path)
    return path


def test_operations_grow_with_the_picture(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    for shape in (["64"], ["64", "128"]):
        tool("get_flops").main([str(config), "--shape", *shape])
        said = dict(line.split(": ") for line in capsys.readouterr().out.splitlines()[-4:])
        counts.append(float(said["Flops"].rstrip("GM")))
    assert said["Picture"] == "64x128, padded to 64x128"
    assert counts[0] < counts[1] < 2 * counts[0]  # the sound's part stays
    with pytest.raises(SystemExit):
        tool("get_flops").parse_args([str(config), "--shape", "1", "2", "3"])
    assert "more than height and width" in capsys.readouterr().err


def test_pixels_are_counted_by_truth_and_prediction(tmp_path: Path, config: Path) -> None:
    matrices = tool("confusion_matrix")
    init = matrices.read_config(str(config))
    dataset = matrices.build_dataset(init, "test_dataloader")
    samples = [dataset[index]["data_samples"] for index in range(len(dataset))]
    with pytest.raises(UserError, match="was not predicted. Give the folder"):
        matrices.count(dataset, tmp_path)
    for sample in samples:  # all that sounds is taken for class 7
        labels = sample.gt_sem_seg.data[0].numpy()
        path = tmp_path / matrices.relative_name(sample)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(labels > 0, 7, 0).astype(np.uint8)).save(path)
    out = tmp_path / "out"
    matrices.main([str(config), str(tmp_path), str(out), "--color-theme", "magma"])
    rows = [line.split(",") for line in (out / "confusion_matrix.csv").read_text().splitlines()]
    found = np.array([row[1:] for row in rows[1:]], int)
    truth = np.bincount(
        np.concatenate([s.gt_sem_seg.data.flatten() for s in samples]), minlength=25
    )
    expected = np.zeros((25, 25), int)
    expected[0, 0], expected[1:, 7] = truth[0], truth[1:]
    np.testing.assert_array_equal(found, expected)
    assert Image.open(out / "confusion_matrix.png").size[0] > 500
    path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="it is no picture"):
        matrices.count(dataset, tmp_path)
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(path)
    with pytest.raises(UserError, match="it is .3, 3. px, its label .64, 64."):
        matrices.count(dataset, tmp_path)


@pytest.mark.parametrize(("classes", "numbers"), [(3, 3), (71, 0)])
def test_the_figure_fits_its_classes(classes: int, numbers: int) -> None:
    matrix = np.diag(np.arange(classes))  # the first class has no pixel
    matrix[2] = [0, 1, 1] + [0] * (classes - 3)
    figure = confusion_figure(matrix, [f"c{k}" for k in range(classes)])
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts] == ["100", "50", "50"][:numbers]
    assert len(axis.get_xticklabels()) == classes and max(figure.get_size_inches()) < 20
