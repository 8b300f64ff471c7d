"""Export a trained model, without its training part, to torch.export (.pt2) and ONNX.

    cpm-avs export --out-dir exported
    cpm-avs export --config cpm_r50_avss-224 --checkpoint best.pth --size 224 224

The graph takes `img`, (1, 3, H, W) float32 RGB in [0, 255] with H and W multiples of 32 from 64 to
2048, and `waveform`, (1, A, L) float32 at 16 kHz in [-1, 1]; it gives `scores`, (1, C, H, W) in
[0, 1].
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..files import write_whole
from ..inference.export import (
    ExportableModel,
    example_inputs,
    export_onnx,
    export_program,
    write_program,
)
from ..inference.model_loading import build_model, find_checkpoint, load_config
from ..inference.preparation import Preparation
from ..launch import add_model_options, built_from, output_folder, read_config

_TOLERANCE = 1e-4


def parse_args(args: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model_options(parser)
    parser.add_argument(
        "--out-dir",
        type=output_folder,
        default="work_dirs/exported",
        help="folder to write (default: %(default)s)",
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(96, 160), metavar=("H", "W"),
        help="image size to trace with; it stays free unless --fixed-size (default: 96 160)",
    )  # fmt: skip
    parser.add_argument("--fixed-size", action="store_true", help="bind the graph to --size")
    return parser.parse_args(args)


def main(args: list[str] | None = None) -> int:
    """Write both files and hold their outputs against the model's."""
    options = parse_args(args)
    config = read_config(options.config, read=load_config)
    checkpoint = find_checkpoint(options.config, options.checkpoint)
    with built_from(config):
        model, classes = build_model(config, checkpoint, "cpu")
        preparation = Preparation.from_config(config)
    shapes: dict[str, Any] = dict(
        size=tuple(options.size),
        channels=preparation.channels,
        num_samples=preparation.num_samples,
    )
    program = export_program(model, **shapes, dynamic=not options.fixed_size)
    write_program(program, options.out_dir / "model.pt2")
    export_onnx(program, options.out_dir / "model.onnx")
    write_whole(options.out_dir / "classes.txt", "\n".join(classes) + "\n")

    inputs = example_inputs(**shapes, count=model.frames_of_a_graph)
    with torch.no_grad():
        expected = ExportableModel(model)(*inputs).numpy()
    worst = max(
        float(np.abs(_run_program(options.out_dir / "model.pt2", inputs) - expected).max()),
        float(np.abs(_run_onnx(options.out_dir / "model.onnx", inputs) - expected).max()),
    )
    print(f"wrote model.pt2, model.onnx and classes.txt to {options.out_dir}")
    print(f"largest difference to the model: {worst:.1e}")
    return 0 if worst < _TOLERANCE else 1


def _run_program(path: Path, inputs: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    with torch.no_grad():
        return torch.export.load(path).module()(*inputs).numpy()


def _run_onnx(path: Path, inputs: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = dict(zip(("img", "waveform"), (tensor.numpy() for tensor in inputs), strict=True))
    return session.run(["scores"], names)[0]
