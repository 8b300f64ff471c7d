"""Write a model as a folder for the Hugging Face hub, which AVSInferencer.from_pretrained reads.

    cpm-avs hub-folder cpm_mbv2-yamnet_stamps stamps.pth hub/stamps --metrics metrics.json

It holds config.json, model.safetensors without the training part, and a model card in README.md.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..inference.hub_folder import write_folder
from ..inference.model_loading import find_checkpoint, load_config
from ..launch import output_folder, read_config


def read_metrics(path: Path) -> Any:
    """What a JSON file holds; ValueError where it is none."""
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is no JSON ({error}); give the metrics.json of a test") from error


def main(argv: Sequence[str] | None = None) -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="name in configs/ or file")
    parser.add_argument("checkpoint", type=Path, help="file that training or publish-model wrote")
    parser.add_argument("out", type=output_folder, help="folder to write")
    parser.add_argument("--metrics", type=Path, help="metrics.json of a test, for the card")
    args = parser.parse_args(argv)
    config = read_config(args.config, read=load_config)
    metrics = read_metrics(args.metrics) if args.metrics else None
    checkpoint = find_checkpoint(config, args.checkpoint)
    name = Path(args.config).name.removesuffix(".py")
    print(write_folder(args.out, config, checkpoint, name=name, metrics=metrics))
