"""CAVP's objective: cross-entropy, and a contrast with the sounds of other pictures.

Facts, not code, of https://github.com/cyh-0/CAVP (96a6c34); ``models/baselines/cavp.py`` says more.

Shorthand: B batch, A audio channels, C classes with background, D width, h w map at stride 4.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ..ccdm.memory_bank import ClassMemoryBank
from ..distributed import gather_variable
from ..finite import FiniteGuard
from ..set_prediction.targets import build_targets
from .cavp_contrast import choose_pixels, contrast
from .pixel_losses import pixel_cross_entropy


class CAVPSound(Protocol):
    """What the bank asks of the audio backbone; see ``CAVPVGGish``."""

    def log_mel(self, specgram: Tensor) -> Tensor: ...

    def embed(self, log_mel: Tensor) -> Tensor: ...

    def modules(self) -> Iterator[nn.Module]: ...


class CAVPPixels(Protocol):
    """See ``CAVPHead``."""

    def describe(self, maps: Sequence[Tensor]) -> Tensor: ...

    def fuse(self, visual: Tensor, sound: Tensor) -> Tensor: ...

    def classify(self, fused: Tensor) -> Tensor: ...


class CAVPModel(Protocol):
    """See ``DenseSegmentor``."""

    audio_backbone: CAVPSound
    decode_head: CAVPPixels

    def image_maps(self, img: Tensor) -> Sequence[Tensor]: ...

    def sound_maps(self, specgram: Tensor) -> Sequence[Tensor]: ...


@MODELS.register_module()
class CAVPCriterion(BaseModule):
    """All of training that inference does without.

    Every picture is seen with its own sound and with that of another picture of the batch. The
    latter's truth is the picture's where the same classes sound in both, else background. It only
    takes part in the contrast; but it goes through the head, whose norms learn from both.

    Args:
        num_classes: C, classes with background; the segmentor fills it in.
        contrast_weight: Of the contrast.
        temperature: Of the contrast.
        views: Pixels of a class that the contrast compares.
        bank_size: Sounds kept of each class, in the checkpoint, too. A picture in which one class
            sounds, and which got another's sound, gets one of its own class in place of it half
            the time. 0 keeps none. For ``CAVPVGGish`` alone: how many sounds of the bank are
            embedded differs between the ranks, which norms over a batch do not survive.
        bank_shape: (A, frames, bands) of the sounds kept.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        contrast_weight: float = 1.0,
        temperature: float = 0.1,
        views: int = 512,
        bank_size: int = 0,
        bank_shape: Sequence[int] = (1, 96, 64),
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.contrast_weight, self.temperature, self.views = contrast_weight, temperature, views
        self.bank = None
        if bank_size > 0:
            self.bank = ClassMemoryBank(
                num_classes=num_classes,
                embed_dims=torch.Size(bank_shape).numel(),
                size=bank_size,
                max_per_push=bank_size,
            )
        self.bank_shape = tuple(bank_shape)
        self.finite = FiniteGuard()

    def forward(
        self,
        model: CAVPModel,
        inputs: dict[str, Tensor],
        data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """Both losses of a batch, weighted.

        Args:
            model: The segmentor, whose parts are called one by one.
            inputs: The preprocessed batch.
            data_samples: With ``gt_sem_seg``.
        """
        if self.bank is not None:
            _check_embeds(model.audio_backbone)
        targets = build_targets(data_samples, self.num_classes)
        sounds = model.sound_maps(inputs["specgram"])[-1].flatten(1)
        order = shuffled(len(sounds), sounds.device)
        others, matched = sounds[order], (targets.sounding == targets.sounding[order]).all(1)
        if self.bank is not None:
            others, matched = self._exchange(
                model.audio_backbone, others, matched, targets.sounding
            )

        visual = model.decode_head.describe(model.image_maps(inputs["img"]))
        fused = model.decode_head.fuse(torch.cat([visual, visual]), torch.cat([sounds, others]))
        logits = model.decode_head.classify(fused)[: len(sounds)]
        losses = dict(
            loss_ce=pixel_cross_entropy(logits, targets.label_map),
            loss_contrast=self.contrast_weight * self._contrast(fused, targets.label_map, matched),
        )
        if self.finite.check(losses, data_samples) and self.bank is not None:
            heard = model.audio_backbone.log_mel(inputs["specgram"])
            self._keep(self.bank, heard, targets.sounding)
        return losses

    def _contrast(self, fused: Tensor, label_map: Tensor, matched: Tensor) -> Tensor:
        labels = F.interpolate(label_map[:, None].float(), fused.shape[-2:])[:, 0].long()
        other_labels = labels * matched[:, None, None]
        chosen = choose_pixels(labels, other_labels, views=self.views)
        pixels = fused.permute(0, 2, 3, 1).flatten(0, 2)[chosen]
        both = torch.cat([labels, other_labels]).flatten()[chosen]
        return contrast(pixels, both, temperature=self.temperature)

    def _exchange(
        self, audio_backbone: CAVPSound, others: Tensor, matched: Tensor, sounding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sounds of the right class in place of half of the wrong ones, where the bank has some."""
        assert self.bank is not None
        wanted = sounding.int().argmax(1)
        filled = self.bank.valid.sum(1)[wanted]
        half = torch.rand(len(others), device=others.device) < 0.5
        given = ~matched & (sounding.sum(1) == 1) & (filled > 0) & half
        slot = (torch.rand(len(others), device=others.device) * filled).long()
        kept = self.bank.samples[wanted, slot][given]
        if len(kept) > 0:
            others = others.index_put(
                (given,), audio_backbone.embed(kept.unflatten(1, self.bank_shape))
            )
        return others, matched | given

    def _keep(self, bank: ClassMemoryBank, heard: Tensor, sounding: Tensor) -> None:
        """Remember the sounds in which one class sounds, those of all ranks."""
        if tuple(heard.shape[1:]) != self.bank_shape:
            raise ValueError(
                f"criterion.bank_shape is {self.bank_shape}, and the audio backbone hears sounds "
                f"of {tuple(heard.shape[1:])} (channels, frames, bands); set bank_shape so"
            )
        single = sounding.sum(1) == 1
        bank.push(*gather_variable(heard[single].flatten(1), sounding[single].int().argmax(1)))


def _check_embeds(audio_backbone: CAVPSound) -> None:
    """ValueError where sounds of the bank can't be embedded by themselves."""
    norms = any(isinstance(module, _BatchNorm) for module in audio_backbone.modules())
    if norms or not hasattr(audio_backbone, "embed"):
        raise ValueError(
            f"criterion.bank_size is set, and the audio backbone is "
            f"{type(audio_backbone).__name__}; a bank is for CAVPVGGish, which has no batch norms: "
            "leave it 0"
        )


def shuffled(number: int, device: torch.device) -> Tensor:
    """Whose sound each picture gets."""
    return torch.randperm(number, device=device)
