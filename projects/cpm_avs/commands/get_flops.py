"""Count the operations and parameters of a model at inference.

    cpm-avs get-flops cpm_r50_avss --shape 512

The options are those of MMSegmentation's tools/analysis_tools/get_flops.py, which shows a model
pictures alone. As there, MMEngine counts: a multiplication with its addition is one operation, and
the log lists what it does not count.
"""

import argparse
from collections.abc import Sequence

import torch
from mmengine.analysis import get_model_complexity_info
from torch import Tensor, nn

from ..inference.model_loading import build_bare, load_config
from ..inference.preparation import Preparation
from ..launch import (
    add_cfg_options,
    at_least,
    built_from,
    read_config,
)
from ..models.base_segmentor import BaseAVSegmentor


class _OfTensors(nn.Module):
    """The model as a function of a picture (1, 3, H, W) and spectra (1, A, T, 256) by name."""

    def __init__(self, model: BaseAVSegmentor, names: Sequence[str]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *tensors: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return self.model(dict(zip(self.names, tensors, strict=True)), mode="tensor")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument(
        "--shape",
        type=at_least(1),
        nargs="+",
        default=[512],
        help="height and width, or a side (default: 512)",
    )
    add_cfg_options(parser)
    args = parser.parse_args(argv)
    if len(args.shape) > 2:
        parser.error(f"--shape: {args.shape} has more than height and width")
    return args


def main(argv: list[str] | None = None) -> None:
    """Count as the command line says."""
    args = parse_args(argv)
    cfg = read_config(args.config, args.cfg_options, read=load_config)
    with built_from(cfg):
        model = build_bare(cfg).eval()
        preparation = Preparation.from_config(cfg)
    height, width = args.shape[0], args.shape[-1]
    samples, channels = preparation.num_samples, preparation.channels
    picture = torch.zeros(3, height, width, dtype=torch.uint8)
    waveform = torch.zeros(channels, samples)
    inputs = model.data_preprocessor(dict(inputs=dict(img=[picture], waveform=[waveform])))[
        "inputs"
    ]
    names = [name for name in ("img", "specgram", "cross") if name in inputs]
    counted = get_model_complexity_info(
        _OfTensors(model, names),
        inputs=tuple(inputs[name] for name in names),
        show_table=False,
        show_arch=False,
    )
    padded = tuple(inputs["img"].shape[-2:])
    print(f"Picture: {height}x{width}, padded to {padded[0]}x{padded[1]}")
    print(f"Sound: {samples / preparation.sample_rate:g} s, {channels} channel(s)")
    print(f"Flops: {counted['flops_str']}")
    print(f"Params: {counted['params_str']}")
