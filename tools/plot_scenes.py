r"""Draw samples of a test set: frame, sound, truth and prediction, one sample a row.

python tools/plot_scenes.py CONFIG CHECKPOINT --out scenes.png --num 8 \
  --baseline OTHER_CONFIG OTHER_CHECKPOINT
"""

import argparse
from copy import deepcopy
from pathlib import Path

import torch
from mmengine.config import DictAction
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS

from projects.cpm_avs.inference.model_loading import build_model, load_config
from projects.cpm_avs.visualization.plots import SheetRow, contact_sheet


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument(
        "--baseline", nargs=2, metavar=("CONFIG", "CHECKPOINT"), help="a model to compare with"
    )
    parser.add_argument("--out", type=Path, required=True, help="picture to write")
    parser.add_argument("--num", type=int, default=8, help="rows, evenly spaced over the set")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, default={})
    return parser.parse_args(args)


@torch.no_grad()
def draw(options: argparse.Namespace) -> None:
    """Predict the chosen samples and write the sheet."""
    config = load_config(options.config)
    config.merge_from_dict(options.cfg_options)
    model, classes = build_model(config, options.checkpoint, options.device)
    models = {"prediction": model}
    if options.baseline is not None:
        other = load_config(options.baseline[0])
        other.merge_from_dict(options.cfg_options)
        models = {"baseline": build_model(other, options.baseline[1], options.device)[0], **models}
    dataset = DATASETS.build(config.test_dataloader.dataset)
    rows = []
    for place in range(options.num):
        packed = dataset[place * len(dataset) // options.num]
        samples = {
            name: model.test_step(pseudo_collate([deepcopy(packed)]))[0].cpu()
            for name, model in models.items()
        }
        first = next(iter(samples.values()))
        rows.append(
            SheetRow(
                picture=packed["inputs"]["img"].flip(0).permute(1, 2, 0).numpy(),
                waveform=packed["inputs"]["waveform"].numpy(),
                truth=first.gt_sem_seg.data[0].numpy(),
                predictions={
                    name: sample.pred_sem_seg.data[0].numpy() for name, sample in samples.items()
                },
                title=f"{first.metainfo.get('clip_id', place)}",
            )
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(rows, classes).savefig(options.out, dpi=100)
    print(options.out)


def main(args: list[str] | None = None) -> None:
    """Draw as the command line says."""
    options = parse_args(args)
    try:
        draw(options)
    except (ValueError, OSError) as error:  # what a user can put right
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
