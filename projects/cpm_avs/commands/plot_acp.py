"""Draw how prompts tell sounds from what is mixed into them, on validation samples (Fig. 7).

    cpm-avs plot-acp cpm_r50_avss work_dirs/cpm_r50_avss/epoch_100.pth --num 4

A row is a sample: the mixture, the noise in it (the sound of another sample), the share of the
sample's own sound in each bin, the share that the prompts of its true classes predict, and the
share that the names of these classes alone predict, without hearing. That predictor is fitted to
samples of the training set.
"""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.registry import MODELS
from torch import Tensor

from ..files import whole_file
from ..inference.model_loading import find_device
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
from ..model_fit import check_backbones
from ..safe_checkpoint import CheckpointError, check_fit, load_safely, weights_of
from ..training.diagnostics.deaf_predictor import deaf_ratio
from ..training.diagnostics.separation import fit_deaf_predictor, separate_samples
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


def load_model(cfg: Config, checkpoint: str) -> Any:
    """The segmentor with its training part."""
    if cfg.model.get("criterion") is None:
        raise CheckpointError("the config has no criterion, and so no audio prompting")
    model = MODELS.build(cfg.model)
    check_backbones(model)
    path = model.criterion.prompted_path
    if path is None or path.audio_mask_head is None:
        raise CheckpointError("the config trains without audio prompting; there is nothing to draw")
    state = weights_of(load_safely(checkpoint), checkpoint)
    if not any(key.startswith("criterion.prompted_path.") for key in state):
        raise CheckpointError(
            f"{checkpoint}: the training part was taken out. Give the file that training wrote."
        )
    check_fit(model, state, checkpoint)
    model.load_state_dict(state, strict=False)
    return model.eval()


def separated_rows(model: Any, dataset: Any, deaf_logits: Tensor) -> Iterator[SeparationRow]:
    """One row for each sample that could be mixed with another.

    Args:
        model: Segmentor with audio prompting.
        dataset: Packed samples, with ground truth.
        deaf_logits: Of ``fit_deaf_predictor``, (C, F).
    """
    path = model.criterion.prompted_path
    names = dataset.metainfo["classes"]
    for batch, parts in separate_samples(model, path, dataset, len(dataset)):
        clean, noise = batch["inputs"]["specgram"].mean(1).cpu(), parts.noise.specgram.mean(1).cpu()
        sounding = parts.sounding.cpu()
        deaf = deaf_ratio(deaf_logits, sounding, clean.shape[1])
        for index in parts.counted.flatten(1).any(-1).nonzero().flatten().tolist():
            heard = sounding[index].nonzero().flatten().tolist()
            yield SeparationRow(
                mixture=clean[index] + noise[index],
                noise=noise[index],
                target=parts.ratio[index].cpu(),
                prediction=parts.predicted[index].cpu(),
                deaf=deaf[index],
                title=", ".join(names[label] for label in heard),
            )


def main(argv: Sequence[str] | None = None) -> None:
    """Draw as the command line says."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options)
    device = find_device(args.device)
    init_default_scope(cfg.get("default_scope", "mmseg"))
    torch.manual_seed(args.seed)
    with built_from(cfg):
        model = load_model(cfg, args.checkpoint).to(device)
    validation_set = build_dataset(cfg, "val_dataloader")
    training_set = build_dataset(cfg, "train_dataloader")
    num_classes = model.criterion.prompted_path.num_classes
    deaf_logits = fit_deaf_predictor(model, num_classes, training_set)
    samples = separated_rows(model, validation_set, deaf_logits)
    rows = [row for row, _ in zip(samples, range(args.num), strict=False)]
    if not rows:
        raise SystemExit("error: no two samples of the validation set could be mixed")
    with whole_file(args.out) as part:
        acp_figure(rows).savefig(part, dpi=130)
    print(f"Wrote {args.out}")
