"""The training objective l = l_agn + lambda (l_ACP + l_VCP + l_PCL), Sec. 3.2.5."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..structures import AudioFeatures, DecoderOutput, VisualFeatures
from .ccdm.mixture_fitting import MixtureFitting
from .finite import FiniteGuard
from .prompting.prompted_path import PromptedPath
from .protocols import GenerativeClassifier, PromptableModel
from .set_prediction.set_criterion import SetCriterion
from .set_prediction.targets import build_targets


@MODELS.register_module()
class CPMCriterion(BaseModule):
    """All of training that inference does without; a stripped checkpoint drops it whole.

    Args:
        num_classes: C, classes with background; the segmentor fills it in.
        embed_dims: D; filled in too.
        audio_channels: Channels of the audio backbone's maps; filled in too.
        set_loss: Arguments of the ``SetCriterion``.
        mixture: Arguments of the ``MixtureFitting``; None with a linear classifier, and only then.
        prompting: Arguments of the ``PromptedPath``; None trains without the CPM path, and so do
            weights that are all 0.
        prompt_weight: lambda.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        embed_dims: int,
        audio_channels: Sequence[int],
        set_loss: Mapping[str, Any] | None = None,
        mixture: Mapping[str, Any] | None = None,
        prompting: Mapping[str, Any] | None = None,
        prompt_weight: float = 0.5,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.set_criterion = SetCriterion(num_classes=num_classes, **(set_loss or {}))
        self.mixture = (
            None
            if mixture is None
            else MixtureFitting(num_classes=num_classes, embed_dims=embed_dims, **mixture)
        )
        self.prompted_path = None
        if prompting is not None and prompt_weight > 0:
            path = PromptedPath(
                num_classes=num_classes,
                embed_dims=embed_dims,
                audio_channels=audio_channels,
                **prompting,
            )
            self.prompted_path = path if path.in_use else None
        self.prompt_weight = prompt_weight
        # (B, N), the labels that the last layer's queries were matched with; for the STS hook.
        self.last_assignment: Tensor | None = None
        self.finite = FiniteGuard()

    def forward(
        self,
        model: PromptableModel,
        output: DecoderOutput,
        visual: VisualFeatures,
        audio: AudioFeatures,
        inputs: dict[str, Tensor],
        data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """All losses of a batch, weighted.

        Args:
            model: The segmentor, for the prompted path's second call of its decoder.
            output: Predictions of the class-agnostic queries.
            visual: Image features, shared by both paths.
            audio: Features of the clean sound.
            inputs: The preprocessed batch.
            data_samples: With ``gt_sem_seg``.
        """
        targets = build_targets(data_samples, self.num_classes)
        matching = self.set_criterion.match(output, targets)
        assigned = matching.assigned_labels(
            targets.labels, output.cls_logits.shape[:3], self.num_classes
        )
        losses = self.set_criterion(output, assigned, matching, targets)
        if self.prompted_path is not None:
            prompted = self.prompted_path(model, visual, audio, inputs, targets, self.set_criterion)
            losses.update({name: self.prompt_weight * loss for name, loss in prompted.items()})
        if self.finite.check(losses, data_samples):
            self._remember(model, output, assigned)
        else:
            self.last_assignment = torch.full_like(assigned[-1], self.num_classes)
        return losses

    @torch.no_grad()
    def _remember(self, model: PromptableModel, output: DecoderOutput, assigned: Tensor) -> None:
        """Keep the last layer's matches for STS and, normalised, for the mixtures."""
        self.last_assignment = assigned[-1]
        classifier = model.decode_head.classifier
        if hasattr(classifier, "load_state") != (self.mixture is not None):
            raise ValueError(
                "a GMMClassifier needs criterion.mixture, and other classifiers need it to be "
                f"None; got a {type(classifier).__name__} and "
                f"{'None' if self.mixture is None else 'a mixture'}"
            )
        if self.mixture is not None:
            points = classifier.normalize(output.embeddings[-1])
            self.mixture.collect(points.flatten(0, 1), self.last_assignment.flatten())

    def update_classifier(self, classifier: GenerativeClassifier, *, pace: float = 1.0) -> None:
        """Move the classifier's mixtures, if it has any, one step of EM (``EMUpdateHook``).

        Args:
            classifier: Overwritten in place.
            pace: See ``MixtureFitting.update``.
        """
        if self.mixture is not None:
            classifier.load_state(self.mixture.update(classifier.state, pace=pace))
