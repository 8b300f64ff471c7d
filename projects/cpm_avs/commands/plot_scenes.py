r"""Draw samples of a test set: frame, sound, truth and prediction, one sample a row.

Of a set of clips a row is the last frame of one.

cpm-avs plot-scenes CONFIG CHECKPOINT --out scenes.png --num 8 \
  --baseline OTHER_CONFIG OTHER_CHECKPOINT
"""

import argparse
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.dataset import pseudo_collate

from ..files import whole_file
from ..inference.model_loading import build_model, find_device, load_config
from ..launch import (
    FIGURES,
    add_cfg_options,
    add_device_option,
    at_least,
    build_dataset,
    built_from,
    output_file,
    read_config,
)
from ..visualization.plots import SheetRow, contact_sheet


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("checkpoint", type=Path, help="file that training or publish-model wrote")
    parser.add_argument(
        "--baseline", nargs=2, metavar=("CONFIG", "CHECKPOINT"), help="a model to compare with"
    )
    parser.add_argument("--out", type=output_file(*FIGURES), required=True, help="picture to write")
    parser.add_argument(
        "--num",
        type=at_least(1),
        default=8,
        help="rows, evenly spaced over the set (default: %(default)s)",
    )
    add_device_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(args)


@torch.no_grad()
def draw(options: argparse.Namespace) -> None:
    """Predict the chosen samples and write the sheet."""
    device = find_device(options.device)
    config = read_config(options.config, options.cfg_options, read=load_config)
    with built_from(config):
        model, classes = build_model(config, options.checkpoint, device)
    models = {"prediction": model}
    if options.baseline is not None:
        other = read_config(options.baseline[0], options.cfg_options, read=load_config)
        with built_from(other):
            models = {"baseline": build_model(other, options.baseline[1], device)[0], **models}
    dataset = build_dataset(config, "test_dataloader")
    rows = []
    for place in range(options.num):
        item = dataset[place * len(dataset) // options.num]
        # Of a clip the last frame, from which a model that looks back sees the most.
        frames = item if isinstance(item, list) else [item]
        packed = frames[-1]
        samples = {
            name: model.test_step(pseudo_collate(deepcopy(frames)))[-1].cpu()
            for name, model in models.items()
        }
        first = next(iter(samples.values()))
        rows.append(
            SheetRow(
                picture=packed["inputs"]["img"].flip(0).permute(1, 2, 0).numpy(),
                waveform=packed["inputs"]["waveform"].numpy(),
                truth=first.gt_sem_seg.data[0].numpy() if "gt_sem_seg" in first else None,
                predictions={
                    name: sample.pred_sem_seg.data[0].numpy() for name, sample in samples.items()
                },
                title=f"{first.metainfo.get('clip_id', place)}",
            )
        )
    with whole_file(options.out) as part:
        contact_sheet(rows, classes).savefig(part, dpi=100)
    print(options.out)


def main(args: list[str] | None = None) -> None:
    """Draw as the command line says."""
    draw(parse_args(args))
