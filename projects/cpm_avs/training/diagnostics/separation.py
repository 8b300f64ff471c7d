"""How well prompts tell a sound from what is mixed into it, on samples of a data set (Fig. 7)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dataset import pseudo_collate

from ..prompting.prompted_path import PromptedPath, Separation
from ..protocols import PromptableModel
from ..set_prediction.targets import build_targets
from .acp_quality import ratio_errors, rebuild_source, si_sdr_improvement


def spread_indices(length: int, count: int) -> list[int]:
    """``count`` indices, or all, evenly spaced: neighbours often share their clip and classes."""
    count = min(count, length)
    return [index * length // count for index in range(count)]


@torch.no_grad()
def separate_samples(
    model: PromptableModel,
    path: PromptedPath,
    dataset: Sequence[dict[str, Any]],
    count: int,
    batch_size: int = 8,
) -> Iterator[tuple[dict[str, Any], Separation]]:
    """Prompt the true classes of samples mixed with one another.

    Args:
        model: Segmentor.
        path: Its prompted path, with an audio mask head.
        dataset: Packed samples, with ground truth.
        count: Samples, evenly spaced over the set.
        batch_size: Samples that are mixed among themselves.

    Yields:
        A preprocessed batch, with ``inputs`` and ``data_samples``, and what the prompts made of it.
    """
    indices = spread_indices(len(dataset), count)
    for start in range(0, len(indices), batch_size):
        # Every `step`-th one, so that a batch spans the whole set.
        step = -(-len(indices) // batch_size)
        chosen = indices[start // batch_size :: step]
        batch = pseudo_collate([dataset[index] for index in chosen])
        batch = model.data_preprocessor(batch, True)  # pads the masks with the images
        inputs = batch["inputs"]
        sounding = build_targets(batch["data_samples"], path.num_classes).sounding
        prompted = path.decode(model, model.extract_visual(inputs["img"]), inputs, sounding)
        yield batch, path.separate(prompted, inputs["specgram"])


def measure_separation(
    model: PromptableModel, path: PromptedPath, dataset: Sequence[dict[str, Any]], count: int
) -> dict[str, float]:
    """ACP's quality in two numbers.

    The draws, of prompts and of who is mixed with whom, are the same in every call.

    Returns:
        dict: ``ratio_error``, the mean absolute error of the ratio mask, in [0, 1]; and
        ``si_sdr_improvement``, by how many dB the sound that is rebuilt from the mask and the
        mixture's phase is nearer to the clean one than the mixture is, left out if it is defined
        for no sample. Empty if no sample could be mixed with another.
    """
    errors, improvements = [], []
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(0)
        for batch, parts in separate_samples(model, path, dataset, count):
            if not parts.counted.any():
                continue
            errors.append(ratio_errors(parts.predicted, parts.ratio, parts.counted))
            clean = batch["inputs"]["waveform"].mean(1)
            mixture = clean + parts.noise.waveform.mean(1)
            drop_bin = model.data_preprocessor.drop_bin
            rebuilt = rebuild_source(parts.predicted, mixture, drop_bin=drop_bin)
            separable = parts.counted.flatten(1).any(-1)
            improvements.append(si_sdr_improvement(rebuilt, mixture, clean)[separable])
    if not errors:
        return {}
    measured = dict(ratio_error=float(torch.cat(errors).mean()))
    # A sample that is silent itself, or whose noise is, has no SI-SDR.
    gains = torch.cat(improvements)
    gains = gains[gains.isfinite()]
    if len(gains):
        measured["si_sdr_improvement"] = float(gains.mean())
    return measured
