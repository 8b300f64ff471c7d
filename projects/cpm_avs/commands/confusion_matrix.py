"""Draw which classes a model takes for which, from the masks that `cpm-avs test --out` wrote.

    cpm-avs test CONFIG CHECKPOINT --out masks
    cpm-avs confusion-matrix CONFIG masks FOLDER

The options are those of MMSegmentation's tools/analysis_tools/confusion_matrix.py, which wants the
masks in one folder, but for --show. Writes confusion_matrix.png and, in pixels,
confusion_matrix.csv: rows are the truth.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from ..datasets.avs_dataset import AVSDataset
from ..datasets.clip_dataset import ClipDataset
from ..errors import UserError
from ..evaluation import mask_functional as F
from ..evaluation.mask_writer import relative_name
from ..files import whole_file, write_whole
from ..launch import (
    add_cfg_options,
    build_dataset,
    output_folder,
    read_config,
)
from ..visualization.confusion_figure import confusion_figure


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="whose test set was predicted")
    parser.add_argument("prediction_path", type=Path, help="folder that `cpm-avs test --out` wrote")
    parser.add_argument("save_dir", type=output_folder, help="folder for picture and table")
    parser.add_argument(
        "--color-theme", choices=sorted(matplotlib.colormaps), default="cividis", metavar="NAME",
        help="colour map of matplotlib (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--title",
        default="Normalized Confusion Matrix",
        help="of the figure (default: %(default)s)",
    )
    add_cfg_options(parser)
    return parser.parse_args(argv)


def read_prediction(path: Path) -> torch.Tensor:
    """Class indices (H, W) of one frame.

    Raises:
        UserError: It is not there, or no picture.
    """
    if not path.is_file():
        raise UserError(
            f"{path}: this frame of the test set was not predicted. Give the folder that "
            "tools/test.py --out wrote with this config"
        )
    try:
        return torch.from_numpy(np.array(Image.open(path)).astype(np.int64))
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: it is no picture. Let tools/test.py write it again") from error


def count(dataset: AVSDataset, folder: Path) -> NDArray[np.int64]:
    """Pixels of each true class (rows) that were given to each class, over the whole set."""
    classes = dataset.metainfo["classes"]
    total = np.zeros((len(classes), len(classes)), np.int64)
    for index in range(len(dataset)):
        sample = dataset[index]["data_samples"]
        path = folder / relative_name(sample)
        truth, found = sample.gt_sem_seg.data[0].long(), read_prediction(path)
        if truth.shape != found.shape:
            raise UserError(
                f"{path}: it is {tuple(found.shape)} px, its label {tuple(truth.shape)}. Give the "
                "config that tools/test.py had"
            )
        total += F.confusion_matrix(found, truth, len(classes), dataset.ignore_index)
    return total


def main(argv: list[str] | None = None) -> None:
    """Count and draw as the command line says."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options)
    dataset = build_dataset(cfg, "test_dataloader")
    if isinstance(dataset, ClipDataset):
        dataset = dataset.dataset  # frame by frame
    classes = list(dataset.metainfo["classes"])
    matrix = count(dataset, args.prediction_path)
    table, picture = (args.save_dir / f"confusion_matrix.{kind}" for kind in ("csv", "png"))
    lines = [",".join(["truth", *classes])]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(classes, matrix, strict=True)]
    write_whole(table, "\n".join(lines) + "\n")
    figure = confusion_figure(matrix, classes, title=args.title, color_theme=args.color_theme)
    with whole_file(picture) as part:
        figure.savefig(part, dpi=150)
    print(f"{picture}\n{table}")
