"""The CPM path: prompts through the same decoder on mixed sound, and their three losses."""

from collections.abc import Sequence
from dataclasses import replace

import torch.nn.functional as F
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ...structures import DecoderOutput, Prompts, VisualFeatures
from ..distributed import gather_variable
from ..protocols import PromptableModel
from ..set_prediction.assignment import Assignment
from ..set_prediction.targets import SegmentTargets
from .acp_loss import acp_loss, predict_ratio, ratio_mask
from .audio_mask_head import AudioMaskHead
from .offscreen_noise import OffscreenNoise
from .pcl_loss import POOLINGS, info_nce, saliency, sample_pixels
from .prompt_places import known_places, place_codes
from .prompts import GaussianPrompter, PointPrompter, pad_labels
from .records import DrawnPrompts, PromptedOutput, Separation
from .two_sounds import hear_both
from .vcp import vcp_assignment


def joint_space(embed_dims: int) -> nn.Module:
    """Projection of u_a or u_v (..., D) to the space in which eq. 9 compares them."""
    return nn.Sequential(
        nn.Linear(embed_dims, embed_dims), nn.ReLU(), nn.Linear(embed_dims, embed_dims)
    )


class PromptedPath(nn.Module):
    """ACP, VCP and PCL (eq. 5-9); a part with weight 0 is neither built nor computed.

    Args:
        num_classes: C, classes with background.
        embed_dims: D.
        audio_channels: Channels of the audio backbone's maps, finest first.
        prompt_type: ``'gaussian'``, prompts drawn from the classifier's mixtures, or
            ``'point'``, one learned prompt a class.
        acp_weight: Weight of l_ACP.
        vcp_weight: Weight of l_VCP.
        pcl_weight: Weight of l_PCL.
        prompt_weight: lambda, by which all three are multiplied.
        pooling: ``'average'`` (eq. 7) or ``'max'`` (appendix).
        tau: Temperature of eq. 9.
        pixels_per_class: Pixels of each class, on each rank, that eq. 9 compares.
        own_places: Whether a prompt's position tells where its object is, in the code of a
            picture's columns; the data set must know it (``sound_positions``).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        audio_channels: Sequence[int],
        prompt_type: str = "gaussian",
        acp_weight: float = 1.0,
        vcp_weight: float = 1.0,
        pcl_weight: float = 1.0,
        prompt_weight: float = 1.0,
        pooling: str = "average",
        tau: float = 0.1,
        pixels_per_class: int = 256,
        own_places: bool = False,
    ) -> None:
        super().__init__()
        if prompt_type not in ("gaussian", "point"):
            raise ValueError(f"prompt_type is {prompt_type!r}; choose 'gaussian' or 'point'")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is {pooling!r}; choose one of {sorted(POOLINGS)}")
        self.num_classes = num_classes
        self.acp_weight, self.vcp_weight, self.pcl_weight = (
            prompt_weight * weight for weight in (acp_weight, vcp_weight, pcl_weight)
        )
        self.pool = POOLINGS[pooling]
        self.tau = tau
        self.pixels_per_class = pixels_per_class
        self.own_places = own_places
        self.prompter: nn.Module = (
            GaussianPrompter()
            if prompt_type == "gaussian"
            else PointPrompter(num_classes=num_classes, embed_dims=embed_dims)
        )
        # All prompts share one learned position: they have no order and, without own_places, no
        # place.
        self.prompt_embed = nn.Embedding(1, embed_dims)
        self.audio_mask_head = (
            AudioMaskHead(in_channels=audio_channels, embed_dims=embed_dims)
            if acp_weight > 0 or pcl_weight > 0
            else None
        )
        # Into a joint space: the maps themselves are what two different attentions read.
        self.audio_project = joint_space(embed_dims) if pcl_weight > 0 else None
        self.visual_project = joint_space(embed_dims) if pcl_weight > 0 else None

    @property
    def in_use(self) -> bool:
        """Whether any part has a weight."""
        return max(self.acp_weight, self.vcp_weight, self.pcl_weight) > 0

    def forward(
        self,
        prompted: PromptedOutput,
        visual: VisualFeatures,
        inputs: dict[str, Tensor],
        targets: SegmentTargets,
    ) -> dict[str, Tensor]:
        """l_ACP and l_PCL of the prompts of all images; l_VCP is the set criterion's.

        Args:
            prompted: What ``finish`` returned.
            visual: Image features.
            inputs: The preprocessed batch.
            targets: Segments of the batch.

        Returns:
            dict: Weighted losses ``loss_acp`` and ``loss_pcl``; 0 with a live gradient path when
            nothing sounds.
        """
        losses: dict[str, Tensor] = {}
        if self.acp_weight > 0:
            parts = self.separate(prompted, inputs["specgram"])
            loss = acp_loss(parts.predicted, parts.ratio, parts.counted)
            losses["loss_acp"] = self.acp_weight * loss
        if self.pcl_weight > 0:
            losses["loss_pcl"] = self.pcl_weight * self._pcl(prompted, visual, targets)
        return losses

    def draw(
        self,
        model: PromptableModel,
        inputs: dict[str, Tensor],
        sounding: Tensor,
        noise: OffscreenNoise,
        data_samples: Sequence[SegDataSample],
    ) -> DrawnPrompts:
        """Mix noise in, hear the sounds, and draw the prompts of all images.

        Args:
            model: Gives ``extract_audio`` and the classifier.
            inputs: The preprocessed batch, see ``offscreen_noise``.
            sounding: Classes to prompt in each image, (B, C) bool.
            noise: What to mix in.
            data_samples: With ``sound_positions`` where prompts have places of their own.
        """
        view = inputs.get("view")
        # Before the sounds: on a GPU the host waits here for all that was queued.
        labels, padding = pad_labels(sounding)
        position = self._positions(labels, view, data_samples)
        clean = inputs["specgram"]
        crosses = None
        if noise.cross is not None:
            # Sounds that have nothing to do with each other have no cross spectrum with each other.
            crosses = (inputs["cross"], inputs["cross"] + noise.cross)
        clean_audio, mixed_audio = hear_both(model, clean, clean + noise.specgram, view, crosses)
        prompts = Prompts(
            content=self.prompter(model.decode_head.classifier, labels),
            position=position,
            padding=padding,
            audio=mixed_audio,
        )
        return DrawnPrompts(prompts, labels, sounding, noise, clean_audio)

    def _positions(
        self, labels: Tensor, view: Tensor | None, data_samples: Sequence[SegDataSample]
    ) -> Tensor:
        """Positions of prompts of classes (B, K), (B, K, D): see ``own_places``."""
        position = self.prompt_embed.weight.expand(*labels.shape, -1)
        if not self.own_places:
            return position
        if view is None:
            raise ValueError(
                "criterion.prompting.own_places needs to know which part of a frame a picture "
                "shows, and the batch, of mono sound, does not say; load the sound with "
                "channels=2, or set own_places=False"
            )
        half = position.shape[-1] // 2
        codes = place_codes(labels, known_places(data_samples), view, half)
        return position + F.pad(codes, (half, 0))

    def finish(
        self, drawn: DrawnPrompts, output: DecoderOutput, targets: SegmentTargets
    ) -> PromptedOutput:
        """Let the decoded prompts search the mixed sound, and say what they shall name and draw.

        Args:
            drawn: What ``draw`` returned.
            output: The decoder's predictions, of which the last K of each image are the prompts'.
            targets: Segments of the batch.
        """
        own, head = output.part(slice(-drawn.labels.shape[1], None)), self.audio_mask_head
        masks = None if head is None else head(own.embeddings[-1], drawn.prompts.audio)
        return PromptedOutput(drawn, masks, self._assignments(drawn, targets, len(own.cls_logits)))

    def _assignments(
        self, drawn: DrawnPrompts, targets: SegmentTargets, layers: int
    ) -> list[Assignment]:
        if self.vcp_weight == 0:
            return []
        own = vcp_assignment(drawn.labels, drawn.prompts.padding, targets, layers)
        return [replace(own, weight=self.vcp_weight)]

    @staticmethod
    def separate(prompted: PromptedOutput, clean: Tensor) -> Separation:
        """Compare the prompts' ratio mask with that of the clean spectrogram a_i (B, A, T, F)."""
        assert prompted.audio_masks is not None
        drawn = prompted.drawn
        noise, padding = drawn.noise, drawn.prompts.padding
        ratio, defined = ratio_mask(clean, noise.specgram)
        predicted = predict_ratio(prompted.audio_masks, padding, ratio.shape[-2:])
        # Without noise, or without a prompt, there is nothing to separate.
        separable = noise.mixed & ~padding.all(-1)
        counted = defined & separable.view(-1, 1, 1)
        return Separation(predicted, ratio, counted, drawn.sounding, noise)

    def _pcl(
        self, prompted: PromptedOutput, visual: VisualFeatures, targets: SegmentTargets
    ) -> Tensor:
        """Eq. 7-9 on u_a at stride 16 and u_v at stride 8, projected to a joint space."""
        assert prompted.audio_masks is not None
        anchors, anchor_labels = self._anchors(prompted.drawn, prompted.audio_masks)
        # A rank may have two images; the batch of eq. 8 is that of all ranks.
        pixels, pixel_labels = gather_variable(
            *self._pixels(visual.memories[-1], targets.label_map)
        )
        loss = info_nce(anchors, anchor_labels, pixels, pixel_labels, self.tau)
        # DDP waits for a gradient of every parameter, the mask head's too where ACP is off.
        return loss + prompted.audio_masks[:0].sum()

    def _anchors(self, drawn: DrawnPrompts, masks: Tensor) -> tuple[Tensor, Tensor]:
        """f(k) of the prompts that listen anywhere, (n, D), and their classes, (n,) (eq. 7).

        They are pooled from the clean sound: of a mixture with as many foreign sounds again they
        would tell hardly anything about their class, and the loss stays where it starts.
        """
        assert self.audio_project is not None
        heard_map = self.audio_project(drawn.clean.memory.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        image, query = (~drawn.prompts.padding).nonzero(as_tuple=True)
        # The masks choose where to listen; their own gradient comes from ACP.
        region = saliency(masks[image, query].detach(), heard_map.shape[-2:])
        listens = region.flatten(1).any(-1)
        anchors = self.pool(heard_map[image], region)
        return anchors[listens], drawn.labels[image, query][listens]

    def _pixels(self, seen: Tensor, label_map: Tensor) -> tuple[Tensor, Tensor]:
        """u_v at some pixels of each class, (P, D), and their classes, (P,) (eq. 8).

        Args:
            seen: Finest memory of the pixel decoder, (B, D, h, w).
            label_map: (B, H, W).
        """
        assert self.visual_project is not None
        labels = F.interpolate(
            label_map.unsqueeze(1).float(), seen.shape[-2:], mode="nearest-exact"
        ).long()
        chosen = sample_pixels(labels, self.num_classes, self.pixels_per_class)
        pixels = self.visual_project(seen.permute(0, 2, 3, 1).flatten(0, 2)[chosen])
        return pixels, labels.flatten()[chosen]
