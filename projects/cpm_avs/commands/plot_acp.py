"""Draw how prompts tell sounds from what is mixed into them, on validation samples (Fig. 7).

    cpm-avs plot-acp cpm_r50_avss work_dirs/cpm_r50_avss/epoch_100.pth --num 4

A row is a sample: the mixture, the noise in it (the sound of another sample), the share of the
sample's own sound in each bin, the share that the prompts of its true classes predict, and the
share that the names of these classes alone predict, without hearing. That predictor is fitted to
samples of the training set.
"""

import argparse
from collections.abc import Sequence
from itertools import islice

import torch
from mmengine.registry import init_default_scope

from ..files import whole_file
from ..inference.model_loading import find_device
from ..launch import (
    FIGURES,
    add_cfg_options,
    add_device_option,
    at_least,
    build_dataset,
    built_from,
    load_prompted,
    output_file,
    read_config,
)
from ..training.diagnostics.separation import fit_deaf_predictor, separated_one_by_one
from ..visualization.plots import SeparationRow, acp_figure


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; None is the process's own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file; with audio prompting")
    parser.add_argument("checkpoint", help="file that training wrote; a published one lacks ACP")
    parser.add_argument(
        "--num",
        type=at_least(1),
        default=4,
        help="samples; each eight span the set and are mixed together (default: %(default)s)",
    )
    parser.add_argument(
        "--out",
        type=output_file(*FIGURES),
        default="work_dirs/acp.png",
        help=".png or .pdf (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=at_least(0), default=0, help="of the prompts and of what is mixed"
    )
    add_device_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Draw as the command line says."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options)
    device = find_device(args.device)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    torch.manual_seed(args.seed)
    with built_from(cfg):
        model = load_prompted(cfg, args.checkpoint).to(device)
    validation_set = build_dataset(cfg, "val_dataloader")
    training_set = build_dataset(cfg, "train_dataloader")
    path = model.criterion.prompted_path
    deaf_logits = fit_deaf_predictor(model, path.num_classes, training_set)
    samples = separated_one_by_one(model, path, validation_set, deaf_logits)
    names = validation_set.metainfo["classes"]
    rows = [
        SeparationRow(
            mixture=one.mixture,
            noise=one.noise,
            target=one.target,
            prediction=one.prediction,
            deaf=one.deaf,
            title=", ".join(names[label] for label in one.classes),
        )
        for one in islice(samples, args.num)
    ]
    if not rows:
        raise SystemExit("error: no two samples of the validation set could be mixed")
    with whole_file(args.out) as part:
        acp_figure(rows).savefig(part, dpi=130)
    print(f"Wrote {args.out}")
