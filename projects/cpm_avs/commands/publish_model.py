"""Strip a checkpoint of all that only training needs, and name it by its contents.

    cpm-avs publish-model work_dirs/cpm_r50_avss/epoch_100.pth cpm_r50_avss.pth

writes cpm_r50_avss-1a2b3c4d.pth: the model without its criterion (memory bank, prompts, audio mask
head), optimiser, scheduler, message hub and random states. The digits are the first eight of the
file's SHA-256, which loaders that check downloads compare.

    cpm-avs publish-model work_dirs/visible/iter_3000.pth weights/visible.pth --start visual

writes what sees, without ear and classifier, for other trainings to start from (``load_from``);
``--start audio-visual`` what sees and what hears, without the classifier.
"""

import argparse
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import torch

from ..files import write_whole
from ..launch import output_file
from ..safe_checkpoint import (
    TRAINING_PREFIX,
    CheckpointError,
    check_finite,
    load_safely,
    weights_of,
)
from ..safetensors_format import SUFFIX, safetensors_of

_EARS = ("audio_backbone.", "audio_decoder.", "decode_head.decoder.audio_layers.")
_NAMES = ("decode_head.decoder.classifier.", "mask_classifier.")
#: What a start of other trainings leaves to them.
STARTS = {"visual": (*_EARS, *_NAMES), "audio-visual": _NAMES}
# The rest of the meta data names folders of the machine, or belongs to the optimiser.
KEPT_META = ("dataset_meta", "epoch", "iter", "mmengine_version")


def strip(
    checkpoint: dict[str, Any], source: str | Path, *, start: str | None = None
) -> dict[str, Any]:
    """Weights for inference, with the classes' names and the age of the model.

    Args:
        checkpoint: As MMEngine saves it, or a bare state_dict.
        source: Where it came from, for the message.
        start: Keep only this part, a key of ``STARTS``.

    Raises:
        CheckpointError: It holds something else than weights, or none beside the training part.
    """
    state = weights_of(checkpoint, source)
    dropped = (TRAINING_PREFIX, *(STARTS[start] if start else ()))
    state = {key: value for key, value in state.items() if not key.startswith(dropped)}
    if not state:
        raise CheckpointError(f"{source}: nothing is left of it without {'*, '.join(dropped)}*")
    meta = checkpoint.get("meta") or {}
    return dict(
        meta={key: meta[key] for key in KEPT_META if key in meta},
        # Clones, since a view would be saved with all that it is a view of.
        state_dict={key: value.detach().cpu().clone() for key, value in state.items()},
    )


def halved(weights: dict[str, torch.Tensor], source: str | Path) -> dict[str, torch.Tensor]:
    """Real numbers as float16; CheckpointError where one is too large for it."""
    for key, value in weights.items():
        if value.is_floating_point() and not value.half().isfinite().all():
            largest = float(value.abs().max())
            raise CheckpointError(f"{source}: {key} reaches {largest:.3g}, too much for --half")
    return {
        key: value.half() if value.is_floating_point() else value for key, value in weights.items()
    }


def publish(source: Path, out: Path, *, half: bool = False, start: str | None = None) -> Path:
    """Write the stripped checkpoint.

    Args:
        source: Checkpoint of a training run.
        out: Name to write, ``*.pth`` or ``*.safetensors``; digits of an earlier publication are
            replaced.
        half: Write float16; a model that loads it computes in its own precision again.
        start: See ``strip``.

    Returns:
        Path: ``out`` with the digits.
    """
    stripped = strip(load_safely(source), source, start=start)
    check_finite(stripped["state_dict"], source)
    if half:
        stripped["state_dict"] = halved(stripped["state_dict"], source)
    content = _bytes_of(stripped, out.suffix)
    digits = hashlib.sha256(content).hexdigest()[:8]
    path = out.with_name(f"{re.sub('-[0-9a-f]{8}$', '', out.stem)}-{digits}{out.suffix}")
    write_whole(path, content)
    return path


def _bytes_of(checkpoint: dict[str, Any], suffix: str) -> bytes:
    if suffix == SUFFIX:
        return safetensors_of(checkpoint["state_dict"], checkpoint["meta"])
    # Into memory first: the name of a file that torch.save writes gets into its contents.
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def main(args: list[str] | None = None) -> None:
    """Say what was written, and how much smaller it is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="checkpoint of a training run")
    parser.add_argument(
        "out",
        type=output_file(".pth", SUFFIX),
        help="file to write, *.pth or *.safetensors; its digits are added",
    )
    parser.add_argument(
        "--half", action="store_true", help="float16: half the size, and nearly the same scores"
    )
    parser.add_argument(
        "--start", choices=STARTS, help="only this part, as a start of other trainings"
    )
    parsed = parser.parse_args(args)
    path = publish(parsed.source, parsed.out, half=parsed.half, start=parsed.start)
    before, after = (file.stat().st_size / 2**20 for file in (parsed.source, path))
    print(f"{path}: {after:.1f} MiB of {before:.1f} MiB")
