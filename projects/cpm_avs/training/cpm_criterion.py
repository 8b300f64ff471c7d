"""The training objective l = l_agn + lambda (l_ACP + l_VCP + l_PCL), Sec. 3.2.5."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..structures import ClipFrames, DecoderOutput, clip_lengths
from .ccdm.mixture_fitting import MixtureFitting
from .finite import FiniteGuard
from .prompting.offscreen_noise import offscreen_noise, sounds_of_ranks
from .prompting.prompted_path import PromptedPath
from .protocols import GenerativeClassifier, PromptableModel
from .set_prediction.assignment import Assignment
from .set_prediction.set_criterion import SetCriterion
from .set_prediction.targets import SegmentTargets, build_targets


@MODELS.register_module()
class CPMCriterion(BaseModule):
    """All of training that inference does without; a stripped checkpoint drops it whole.

    Frames of a clip that have no label are seen and heard, for others to look back at, and count in
    no loss, no mixture and no noise of others.

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
                prompt_weight=prompt_weight,
                **prompting,
            )
            self.prompted_path = path if path.in_use else None
        # (B, N), the labels that the last layer's queries were matched with; for the STS hook.
        self.last_assignment: Tensor | None = None
        self.finite = FiniteGuard()

    def forward(
        self,
        model: PromptableModel,
        inputs: dict[str, Tensor],
        data_samples: Sequence[SegDataSample],
    ) -> dict[str, Tensor]:
        """All losses of a batch, weighted.

        Args:
            model: The segmentor, whose parts are called one by one.
            inputs: The preprocessed batch.
            data_samples: With ``gt_sem_seg``, or some without; with ``clip_length`` in the metainfo
                where frames are those of clips.
        """
        clips = ClipFrames(tuple(clip_lengths([sample.metainfo for sample in data_samples])))
        targets = build_targets(data_samples, self.num_classes)
        path, head = self.prompted_path, model.decode_head
        if path is None:
            visual = model.extract_visual(inputs["img"])
            audio = model.extract_audio(inputs["specgram"], inputs.get("view"), inputs.get("cross"))
            output = head(visual, audio, clips=clips)
            queries = self._match(output.part(slice(head.num_queries)), targets)
            losses = self._set_losses(output, targets, [queries])
        else:
            # Prompts come before the picture: on a GPU the host waits for the number of them, and
            # would wait for the image backbone, too, had it been queued.
            noise = offscreen_noise(inputs, targets.may_sound, sounds_of_ranks)
            drawn = path.draw(model, inputs, targets.sounding, noise, data_samples)
            visual = model.extract_visual(inputs["img"])
            output = head(visual, drawn.clean, drawn.prompts, clips)
            prompted = path.finish(drawn, output, targets)
            queries = self._match(output.part(slice(head.num_queries)), targets)
            losses = self._set_losses(output, targets, [queries, *prompted.assignments])
            losses |= path(prompted, visual, inputs, targets)

        assigned = queries.labels[-1]
        if self.finite.check(losses, data_samples):
            embeddings = output.embeddings[-1, :, : head.num_queries]
            self._remember(head.classifier, embeddings, assigned, targets)
        else:
            self.last_assignment = torch.full_like(assigned, self.num_classes)
        return losses

    def _set_losses(
        self, output: DecoderOutput, targets: SegmentTargets, parts: Sequence[Assignment]
    ) -> dict[str, Tensor]:
        """l_agn of the first part, and l_VCP with the prefix ``vcp.`` of a second."""
        losses, *vcp = self.set_criterion(output, targets, parts)
        return losses | {f"vcp.{name}": loss for own in vcp for name, loss in own.items()}

    def _match(self, queries: DecoderOutput, targets: SegmentTargets) -> Assignment:
        """Hungarian matching; queries that are left over are no-object."""
        matching = self.set_criterion.match(queries, targets)
        labels = matching.assigned_labels(
            targets.labels, queries.cls_logits.shape[:3], self.num_classes
        )
        counted = torch.ones_like(labels[0], dtype=torch.bool)
        counted[list(targets.unlabelled)] = False
        return Assignment(labels, matching, counted)

    @torch.no_grad()
    def _remember(
        self,
        classifier: GenerativeClassifier,
        embeddings: Tensor,
        assigned: Tensor,
        targets: SegmentTargets,
    ) -> None:
        """Keep the last layer's matches for STS and, normalised, for the mixtures."""
        self.last_assignment = assigned
        if hasattr(classifier, "load_state") != (self.mixture is not None):
            raise ValueError(
                "a GMMClassifier needs criterion.mixture, and other classifiers need it to be "
                f"None; got a {type(classifier).__name__} and "
                f"{'None' if self.mixture is None else 'a mixture'}"
            )
        if self.mixture is not None:
            points = targets.of_labelled(classifier.normalize(embeddings))
            labels = targets.of_labelled(assigned)
            self.mixture.collect(points.flatten(0, 1), labels.flatten())

    def update_classifier(self, classifier: GenerativeClassifier, *, pace: float = 1.0) -> None:
        """Move the classifier's mixtures, if it has any, one step of EM (``EMUpdateHook``).

        Args:
            classifier: Overwritten in place.
            pace: See ``MixtureFitting.update``.
        """
        if self.mixture is not None:
            classifier.load_state(self.mixture.update(classifier.state, pace=pace))
