"""How well prompts tell a sound from what is mixed into it, on samples of a data set (Fig. 7)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dataset import pseudo_collate
from torch import Tensor

from ..prompting.acp_loss import ratio_mask
from ..prompting.offscreen_noise import OffscreenNoise, offscreen_noise, sounds_of_partners
from ..prompting.prompted_path import PromptedPath
from ..prompting.records import Separation
from ..protocols import PromptableModel
from ..random_state import repeatable
from ..set_prediction.targets import build_targets
from .acp_quality import loudness, ratio_errors, rebuild_source, si_sdr_improvement
from .deaf_predictor import deaf_ratio, fit_deaf_logits


def spread_indices(length: int, count: int) -> list[int]:
    """``count`` indices, or all, evenly spaced: neighbours often share their clip and classes."""
    count = min(count, length)
    return [index * length // count for index in range(count)]


def single_frame(dataset: Sequence[Any], index: int) -> dict[str, Any]:
    """A packed sample; of a clip the first frame with a label, for its others sound alike."""
    if hasattr(dataset, "labelled_frame"):  # a ``ClipDataset``, which need not make the others
        return dataset.labelled_frame(index)
    item = dataset[index]
    if isinstance(item, dict):
        return item
    return next((one for one in item if "gt_sem_seg" in one["data_samples"]), item[0])


def sample_batches(
    model: PromptableModel, dataset: Sequence[dict[str, Any]], count: int, batch_size: int
) -> Iterator[dict[str, Any]]:
    """Preprocessed batches of ``count`` samples, or all, evenly spaced over the set."""
    indices = spread_indices(len(dataset), count)
    # Every `step`-th one, so that a batch spans the whole set.
    step = -(-len(indices) // batch_size)
    for start in range(step):
        batch = pseudo_collate([single_frame(dataset, index) for index in indices[start::step]])
        yield model.data_preprocessor(batch, True)  # pads the masks with the images


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
    for batch in sample_batches(model, dataset, count, batch_size):
        inputs = batch["inputs"]
        targets = build_targets(batch["data_samples"], path.num_classes)
        # Noise of this batch: all ranks measure the same one.
        noise = offscreen_noise(inputs, targets.sounding)
        drawn = path.draw(model, inputs, targets.sounding, noise, batch["data_samples"])
        visual = model.extract_visual(inputs["img"])
        output = model.decode_head(visual, drawn.clean, drawn.prompts)
        prompted = path.finish(drawn, output, targets)
        yield batch, path.separate(prompted, inputs["specgram"])


@dataclass(frozen=True)
class SeparatedSample:
    """A sample of ``separate_samples`` by itself, each (T, F).

    Attributes:
        mixture: Magnitude a_p.
        noise: Magnitude a_j.
        target: Ratio a_i / a_p.
        prediction: That of the prompts.
        deaf: What the classes' names alone predict.
        classes: Which ones were prompted.
    """

    mixture: Tensor
    noise: Tensor
    target: Tensor
    prediction: Tensor
    deaf: Tensor
    classes: list[int]


def separated_one_by_one(
    model: PromptableModel, path: PromptedPath, dataset: Sequence[Any], deaf_logits: Tensor
) -> Iterator[SeparatedSample]:
    """Every sample of a set that could be mixed with another, on the CPU.

    Args:
        model: Segmentor.
        path: Its prompted path, with an audio mask head.
        dataset: Packed samples, with ground truth.
        deaf_logits: Of ``fit_deaf_predictor``, (C, F).
    """
    for batch, parts in separate_samples(model, path, dataset, len(dataset)):
        clean, noise = batch["inputs"]["specgram"].mean(1).cpu(), parts.noise.specgram.mean(1).cpu()
        sounding = parts.sounding.cpu()
        deaf = deaf_ratio(deaf_logits, sounding, clean.shape[1])
        for index in parts.counted.flatten(1).any(-1).nonzero().flatten().tolist():
            yield SeparatedSample(
                mixture=clean[index] + noise[index],
                noise=noise[index],
                target=parts.ratio[index].cpu(),
                prediction=parts.predicted[index].cpu(),
                deaf=deaf[index],
                classes=sounding[index].nonzero().flatten().tolist(),
            )


@torch.no_grad()
def fit_deaf_predictor(
    model: PromptableModel,
    num_classes: int,
    dataset: Sequence[dict[str, Any]],
    count: int = 512,
    batch_size: int = 8,
) -> Tensor:
    """``fit_deaf_logits`` on samples mixed with one another as in ``separate_samples``.

    The draws, of augmentation and of who is mixed with whom, are the same in every call.

    Args:
        model: Only its preprocessor is used.
        num_classes: C.
        dataset: Packed samples to train on, with ground truth.
        count: Samples, evenly spaced over the set.
        batch_size: Samples that are mixed among themselves.

    Returns:
        Tensor: Logits (C, F), all 0 if no sample could be mixed with another.
    """
    parts = []
    with repeatable(0):
        for batch in sample_batches(model, dataset, count, batch_size):
            inputs = batch["inputs"]
            sounding = build_targets(batch["data_samples"], num_classes).sounding
            noise = offscreen_noise(inputs, sounding)
            ratio, defined = ratio_mask(inputs["specgram"], noise.specgram)
            frames = defined.sum(1)  # (B, F)
            share = frames / ratio.shape[1] * noise.mixed.unsqueeze(1)
            parts.append((sounding, ratio.sum(1) / frames.clamp(min=1), share))
    return fit_deaf_logits(*(torch.cat(part) for part in zip(*parts, strict=True)))


def measure_separation(
    model: PromptableModel,
    path: PromptedPath,
    dataset: Sequence[dict[str, Any]],
    count: int,
    deaf_logits: Tensor | None = None,
) -> dict[str, float]:
    """ACP's quality, and beside it that of predictors that hear nothing.

    The draws, of prompts and of who is mixed with whom, are the same in every call.

    Args:
        model: Segmentor.
        path: Its prompted path, with an audio mask head.
        dataset: Packed samples, with ground truth.
        count: Samples, evenly spaced over the set.
        deaf_logits: What ``fit_deaf_predictor`` returned, (C, F); None: it is left out.

    Returns:
        dict: ``ratio_error``, the mean absolute error of the ratio mask, in [0, 1], every bin
        alike; ``loud_ratio_error``, the same with bins weighted by ``loudness``; and
        ``si_sdr_improvement``, by how many dB the sound that is rebuilt from the mask and the
        mixture's phase is nearer to the clean one than the mixture is, left out if it is defined
        for no sample. With the prefix ``deaf_`` those of ``deaf_ratio``, with ``half_`` the
        errors of 0.5 everywhere, which improves by 0 dB. Empty if no sample could be mixed with
        another.
    """
    errors: dict[str, list[Tensor]] = defaultdict(list)
    gains: dict[str, list[Tensor]] = defaultdict(list)
    weights: list[Tensor] = []
    drop_bin = model.data_preprocessor.drop_bin
    with repeatable(0):
        for batch, parts in separate_samples(model, path, dataset, count):
            if not parts.counted.any():
                continue
            masks = {"": parts.predicted}
            if deaf_logits is not None:
                logits = deaf_logits.to(parts.ratio)
                masks["deaf_"] = deaf_ratio(logits, parts.sounding, parts.ratio.shape[1])
            weights.append(
                loudness(batch["inputs"]["specgram"], parts.noise.specgram)[parts.counted]
            )
            clean = batch["inputs"]["waveform"].mean(1)
            mixture = clean + noise_waveform(batch["inputs"], parts.noise).mean(1)
            separable = parts.counted.flatten(1).any(-1)
            half = torch.full_like(parts.ratio, 0.5)
            errors["half_"].append(ratio_errors(half, parts.ratio, parts.counted))
            for prefix, mask in masks.items():
                errors[prefix].append(ratio_errors(mask, parts.ratio, parts.counted))
                rebuilt = rebuild_source(mask, mixture, drop_bin=drop_bin)
                gains[prefix].append(si_sdr_improvement(rebuilt, mixture, clean)[separable])
    return _means(errors, weights, gains)


def noise_waveform(inputs: dict[str, Tensor], noise: OffscreenNoise) -> Tensor:
    """Waveform (B, A, L) of what was mixed into a batch, if it came with it or out of it."""
    if noise.partner is None:
        return inputs["noise_waveform"]
    return sounds_of_partners(inputs["waveform"], noise.partner)


def _means(
    errors: dict[str, list[Tensor]], weights: list[Tensor], gains: dict[str, list[Tensor]]
) -> dict[str, float]:
    """Scores of ``measure_separation`` from each batch's values by prefix."""
    measured = {}
    for prefix, batches in errors.items():
        error, weight = torch.cat(batches), torch.cat(weights)
        measured[f"{prefix}ratio_error"] = float(error.mean())
        measured[f"{prefix}loud_ratio_error"] = float((weight * error).sum() / weight.sum())
    for prefix, batches in gains.items():
        # A sample that is silent itself, or whose noise is, has no SI-SDR.
        gain = torch.cat(batches)
        gain = gain[gain.isfinite()]
        if len(gain):
            measured[f"{prefix}si_sdr_improvement"] = float(gain.mean())
    return measured
