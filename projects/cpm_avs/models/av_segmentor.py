"""The segmentor: one door for training, prediction and raw outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..structures import AudioFeatures, ClipFrames, DecoderOutput, VisualFeatures, clip_lengths
from .base_segmentor import BaseAVSegmentor, ConfigType
from .clip_smoothing import ClipSmoothing, SmoothFrame
from .cpm.phase_position import PhasePosition
from .mask_merge import MERGE_RULES
from .resizing import Resize
from .unheard import without_unheard

Picture = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class ClipPast:
    """What a prediction of a clip's next frames needs of those before; it does not grow.

    Attributes:
        queries: Of a model with ``time``, see ``ClipFrames.past``.
        drawn: With ``smoothing``, the frame before.
    """

    queries: tuple[Tensor, ...] = ()
    drawn: SmoothFrame | None = None


@MODELS.register_module()
class AVSegmentor(BaseAVSegmentor):
    """Audio-visual Mask2Former (Sec. 3.1) with a training criterion that the config names.

    Predictions also have ``pred_audio_classes``, the foreground classes that queries name after
    TD-A (Fig. 3b). By the rule ``'max'`` no score is above 1.

    Args:
        merge: ``'max'``, the paper's rule, or ``'sum'``, Mask2Former's.
        least_heard: Probability with which some query must name a class after TD-A, where nothing
            is seen yet, for it to count where masks are merged. 0 is the paper's: the decoder's
            later layers are trusted to remember what was heard.
        no_object_odds: Factor on no-object's odds in the class logits that masks are merged by.
            1 is the paper's. Training counts no-object with a weight of 0.1, so that a false object
            costs little, also at test; a factor of up to 10, chosen on validation scenes, takes
            that back.
        mask_classifier: Config of the ``MaskPooledClassifier`` by which the queries' names are
            weighed at test; the segmentor fills in C. None is the paper's.
        smoothing: Arguments of the ``ClipSmoothing`` by which frames of a clip are drawn where one
            is followed; by the rule ``'max'`` alone. None, the paper's: each by itself.
        kwargs: Arguments of ``BaseAVSegmentor``, of which ``decode_head`` is that of a ``CPMHead``.
    """

    def __init__(
        self,
        *,
        merge: str = "max",
        least_heard: float = 0.0,
        no_object_odds: float = 1.0,
        mask_classifier: ConfigType | None = None,
        smoothing: ConfigType | None = None,
        **kwargs: Any,  # to BaseAVSegmentor
    ) -> None:
        if merge not in MERGE_RULES:
            raise ValueError(f"merge is {merge!r}; choose one of {sorted(MERGE_RULES)}")
        if not 0 <= least_heard < 1:
            raise ValueError(f"least_heard is {least_heard!r}; give a probability below 1, 0: none")
        if not 0 < no_object_odds < math.inf:
            raise ValueError(
                f"no_object_odds is {no_object_odds!r}; give a factor above 0, 1: none"
            )
        if smoothing is not None and merge != "max":
            raise ValueError(f"smoothing is for merge='max', and merge is {merge!r}; leave one out")
        super().__init__(**kwargs)
        self._check_phase()
        self.merge = MERGE_RULES[merge]
        self.smoothing = None if smoothing is None else ClipSmoothing(**smoothing)
        self.least_heard = least_heard
        shift = torch.zeros(self.decode_head.num_classes + 1)
        shift[-1] = math.log(no_object_odds)
        self.register_buffer("no_object_shift", shift, persistent=False)
        self.mask_classifier = (
            None
            if mask_classifier is None
            else MODELS.build(dict(mask_classifier, num_classes=self.decode_head.num_classes))
        )

    def _build_between(self, decode_head: ConfigType) -> None:
        self.audio_decoder = MODELS.build(
            dict(
                type="AudioDecoder",
                in_channels=self.audio_backbone.out_channels,
                embed_dims=decode_head["embed_dims"],
            )
        )

    def _check_phase(self) -> None:
        """Refuse a preprocessor that does not give the head the phases that it hears."""
        position, given = self.decode_head.stereo_position, self.data_preprocessor
        phase = isinstance(position, PhasePosition)
        if phase != given.cross_spectrum:
            raise ValueError(
                f"data_preprocessor.cross_spectrum is {given.cross_spectrum}, and "
                f"decode_head.stereo_position {'is' if phase else 'is not'} a PhasePosition, which "
                f"alone hears phases; set data_preprocessor.cross_spectrum={phase}"
            )
        if phase and position.drop_bin != given.drop_bin:
            raise ValueError(
                f"data_preprocessor.drop_bin is {given.drop_bin!r} and stereo_position.drop_bin "
                f"{position.drop_bin!r}; give both the same, or every delay is heard amiss"
            )

    def _build_criterion(self, criterion: ConfigType) -> nn.Module:
        return MODELS.build(
            dict(
                criterion,
                num_classes=self.decode_head.num_classes,
                embed_dims=self.decode_head.query_feat.embedding_dim,
                audio_channels=self.audio_backbone.out_channels,
            )
        )

    def extract_visual(self, img: Tensor) -> VisualFeatures:
        """Features of normalised images (B, 3, H, W)."""
        return self.decode_head.decode_pixels(self.image_maps(img))

    @property
    def hears_places(self) -> bool:
        """Whether it hears where in the picture a sound comes from."""
        return self.decode_head.stereo_position is not None

    @property
    def sound_channels(self) -> int | None:
        """A of the sounds that the model takes; None where any number will do."""
        return 2 if self.hears_places else super().sound_channels

    def extract_audio(
        self, specgram: Tensor, view: Tensor | None = None, cross: Tensor | None = None
    ) -> AudioFeatures:
        """Features of sounds.

        Args:
            specgram: Linear magnitude spectrograms (B, A, T, F).
            view: Where in the picture the frame lies whose sounds these are, (B, 2), see
                ``place_functional.in_view``; read with ``stereo_position`` alone.
            cross: Cross spectra of their channels, (B, 2, T, F), see ``magnitude_and_cross``; read
                with a ``PhasePosition`` alone.
        """
        locate = self.decode_head.stereo_position
        if locate is None:
            return self.audio_decoder(self.sound_levels(specgram))
        audio = self.audio_decoder(self.sound_levels(specgram.mean(1, keepdim=True)))
        size = tuple(audio.memory.shape[-2:])
        return replace(audio, position=locate(specgram, size, view, cross))

    def extract_feat(self, inputs: dict[str, Tensor]) -> tuple[VisualFeatures, AudioFeatures]:
        """Features of both modalities."""
        return self.extract_visual(inputs["img"]), self._hear(inputs)

    def _hear(self, inputs: dict[str, Tensor]) -> AudioFeatures:
        return self.extract_audio(inputs["specgram"], inputs.get("view"), inputs.get("cross"))

    def encode_decode(
        self, inputs: dict[str, Tensor], batch_img_metas: list[dict[str, Any]]
    ) -> DecoderOutput:
        """Class-agnostic path without post-processing.

        The last layer's class logits are those of ``mask_classifier``, ``least_heard`` and
        ``no_object_odds``. Queries that look back do so over the frames of a ``ClipDataset``'s
        clip, and over the whole batch where there is no metainfo, as in a graph.
        """
        clips = None
        if self.time_window > 1:
            clips = ClipFrames(tuple(clip_lengths(batch_img_metas) or [len(inputs["img"])]))
        return self._decode(inputs, clips)

    @property
    def time_window(self) -> int:  # type: ignore[override]
        """Frames that a prediction looks back over, its own among them; 1 without ``time``."""
        time = self.decode_head.time
        return 1 if time is None else time.window

    @property
    def follows(self) -> bool:  # type: ignore[override]
        """Whether a frame's prediction depends on those before it."""
        return self.time_window > 1 or self.smoothing is not None

    def follow(
        self,
        inputs: dict[str, Tensor],
        data_samples: list[SegDataSample],
        past: ClipPast | None = None,
    ) -> tuple[list[SegDataSample], ClipPast]:
        """Segment the next frames of a clip, for a model with ``time`` or ``smoothing``.

        Frame by frame or many at once, the predictions are those of the whole clip.

        Args:
            inputs: The preprocessed frames.
            data_samples: Of the frames; masks are written to them as by ``best_step``.
                ``smoothing`` reads ``frame_time``, in seconds, from the metainfo.
            past: What this method gave of the frames before; None at a clip's beginning.

        Returns:
            tuple: The samples, and the ``past`` of the frames to come.
        """
        past = past or ClipPast()
        clips = ClipFrames((len(inputs["img"]),), past.queries)
        output = self._decode(inputs, clips)
        queries, time = (), self.decode_head.time
        if time is not None:
            queries = time.keep(clips, output.timed)
        if self.smoothing is None:
            return self.note_best(output, inputs, data_samples), ClipPast(queries)
        drawn = past.drawn
        for sample, picture, resize in self.pictures(output, inputs, data_samples):
            cls_logits, masks = picture
            drawn = self.smoothing(cls_logits, masks, resize, sample.frame_time, drawn)
            self._note(sample, drawn.scores, drawn.labels)
        return data_samples, ClipPast(queries, drawn)

    def _decode(self, inputs: dict[str, Tensor], clips: ClipFrames | None) -> DecoderOutput:
        maps = self.image_maps(inputs["img"])
        visual = self.decode_head.decode_pixels(maps)
        audio = self._hear(inputs)
        output = self.decode_head(visual, audio, clips=clips, every_layer=False)
        logits = output.cls_logits
        last = logits[-1]
        if self.mask_classifier is not None:
            last = self.mask_classifier(last, output.masks(-1), maps[-1])
        last = without_unheard(last, logits[0], self.least_heard) + self.no_object_shift
        return replace(output, cls_logits=torch.cat([logits[:-1], last.unsqueeze(0)]))

    def per_picture(self, output: DecoderOutput) -> list[Picture]:
        """Class logits (N, C + 1) and mask logits (N, h, w) of the last layer."""
        return list(zip(output.cls_logits[-1].float(), output.masks(-1), strict=True))

    def draw(self, picture: Picture, resize: Resize) -> Tensor:
        """Merge the queries' classes and masks."""
        return self.merge.maps(*picture, resize)

    @property
    def draws_all_classes(self) -> bool:  # type: ignore[override]
        """Not by the rule ``'max'``."""
        return self.merge.best_holds_maps

    def draw_best(self, picture: Picture, resize: Resize) -> tuple[Tensor, Tensor]:
        """By the rule ``'max'`` without a map for each class."""
        return self.merge.best(*picture, resize)

    def draw_static(self, picture: Picture, resize: Resize) -> Tensor:
        """As ``draw``, with all queries."""
        return self.merge.static(*picture, resize)

    def draw_best_static(self, picture: Picture, resize: Resize) -> tuple[Tensor, Tensor]:
        """As ``draw_best``, with all queries."""
        return self.merge.best_static(*picture, resize)

    def heard(self, output: DecoderOutput) -> Tensor:
        """The likeliest class of each query after TD-A."""
        return output.cls_logits[0].argmax(-1)

    def note_heard(self, named: Tensor, data_samples: Sequence[SegDataSample]) -> None:
        """Write ``pred_audio_classes``: what (B, N) queries name after TD-A, without background."""
        for labels, sample in zip(named.tolist(), data_samples, strict=True):
            classes = set(labels) - {0, self.decode_head.num_classes}
            sample.set_field(sorted(classes), "pred_audio_classes")

    def _forward(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Class logits (B, N, C + 1) and mask logits (B, N, h, w) of the last layer."""
        output = self.encode_decode(inputs, [])
        return output.cls_logits[-1], output.masks(-1)
