"""The segmentor: one door for training, prediction and raw outputs."""

import math
from dataclasses import replace
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from ..structures import AudioFeatures, DecoderOutput, VisualFeatures
from .mask_merge import MERGE_RULES, resizer
from .memory_layout import fast_layout

ConfigType = dict[str, Any]


@MODELS.register_module()
class AVSegmentor(BaseSegmentor):
    """Audio-visual Mask2Former (Sec. 3.1) with a training criterion that the config names.

    Args:
        data_preprocessor: Config of the ``AVDataPreprocessor``.
        backbone: Image backbone with maps at strides 4, 8, 16 and 32.
        audio_backbone: Audio backbone; see ``models/audio_backbones``.
        decode_head: Config of the ``CPMHead``.
        criterion: Config of the training criterion. None builds a model for inference, which
            loads a checkpoint stripped of the prefix ``criterion.``.
        merge: ``'max'``, the paper's rule, or ``'sum'``, Mask2Former's.
        no_object_odds: Factor on no-object's odds in the class logits that masks are merged by.
            1 is the paper's. Training counts no-object with a weight of 0.1, so that a false object
            costs little, also at test; a factor of up to 10, chosen on validation scenes, takes
            that back.
        init_cfg: Initialisation of the whole model.
        pretrained: None, which mmseg's clients set on the model of every config.
        train_cfg: As ``pretrained``.
        test_cfg: As ``pretrained``.
    """

    def __init__(
        self,
        *,
        data_preprocessor: ConfigType,
        backbone: ConfigType,
        audio_backbone: ConfigType,
        decode_head: ConfigType,
        criterion: ConfigType | None = None,
        merge: str = "max",
        no_object_odds: float = 1.0,
        init_cfg: ConfigType | None = None,
        pretrained: None = None,
        train_cfg: None = None,
        test_cfg: None = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        unread = dict(pretrained=pretrained, train_cfg=train_cfg, test_cfg=test_cfg)
        for name, value in unread.items():
            if value is not None:
                raise ValueError(
                    f"model.{name} is {value!r}, and AVSegmentor does not read it: weights are "
                    "named in backbone.init_cfg and audio_backbone.init_cfg, and how to train and "
                    "to test in criterion and merge"
                )
        if merge not in MERGE_RULES:
            raise ValueError(f"merge is {merge!r}; choose one of {sorted(MERGE_RULES)}")
        if not 0 < no_object_odds < math.inf:
            raise ValueError(
                f"no_object_odds is {no_object_odds!r}; give a factor above 0, 1: none"
            )
        self.backbone = MODELS.build(backbone)
        self.audio_backbone = MODELS.build(audio_backbone)
        kept = self.data_preprocessor.drop_bin
        expected = getattr(self.audio_backbone, "drop_bin", kept)  # for most it makes no difference
        if expected != kept:
            raise ValueError(
                f"data_preprocessor.drop_bin is {kept!r} and audio_backbone.drop_bin {expected!r}; "
                "give both the same, or every bin is heard one too high or too low"
            )
        head = dict(decode_head)
        self.audio_decoder = MODELS.build(
            dict(
                type="AudioDecoder",
                in_channels=self.audio_backbone.out_channels,
                embed_dims=head["embed_dims"],
            )
        )
        self.decode_head = MODELS.build(head)
        shift = torch.zeros(self.decode_head.num_classes + 1)
        shift[-1] = math.log(no_object_odds)
        self.register_buffer("no_object_shift", shift, persistent=False)
        # Built last and off a copy of the random state, so that the other parts start from the same
        # numbers with any criterion, here and in init_weights.
        with torch.random.fork_rng(devices=[]):
            self.criterion = None if criterion is None else self._build_criterion(criterion)
        self.merge = MERGE_RULES[merge]

    def _build_criterion(self, criterion: ConfigType) -> torch.nn.Module:
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
        maps = self.backbone(fast_layout(img))
        given, wanted = [one.shape[1] for one in maps], self.decode_head.in_channels
        if given != wanted:
            raise ValueError(
                f"model.decode_head.in_channels is {wanted}, and the image backbone gives maps of "
                f"{given} channels; set model.decode_head.in_channels={given}"
            )
        return self.decode_head.decode_pixels(maps)

    def extract_audio(self, specgram: Tensor) -> AudioFeatures:
        """Features of linear magnitude spectrograms (B, A, T, F)."""
        expected, given = getattr(self.audio_backbone, "in_channels", None), specgram.shape[1]
        if expected is not None and expected != given:
            raise ValueError(
                f"model.audio_backbone.in_channels is {expected}, and the data's sound has {given} "
                "channels; give both the same number"
            )
        return self.audio_decoder(self.audio_backbone(specgram))

    def extract_feat(self, inputs: dict[str, Tensor]) -> tuple[VisualFeatures, AudioFeatures]:
        """Features of both modalities."""
        return self.extract_visual(inputs["img"]), self.extract_audio(inputs["specgram"])

    def encode_decode(
        self, inputs: dict[str, Tensor], batch_img_metas: list[dict[str, Any]]
    ) -> DecoderOutput:
        """Class-agnostic path without post-processing, as tested: with ``no_object_odds``."""
        output = self.decode_head(*self.extract_feat(inputs))
        logits = output.cls_logits
        shifted = torch.cat([logits[:-1], logits[-1:] + self.no_object_shift])
        return replace(output, cls_logits=shifted)

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """All training losses; the prompted path, if any, is the criterion's."""
        if self.criterion is None:
            raise ValueError("this model was built for inference; give it a criterion to train")
        return self.criterion(self, inputs, data_samples)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Their sum, and their values for the log: all of them in one transfer from the device.

        Args:
            losses: Named scalars.
        """
        values = torch.stack(list(losses.values()))
        total = values.sum()
        shown = torch.cat([total.unsqueeze(0), values]).detach().cpu()
        return total, dict(zip(("loss", *losses), shown, strict=True))

    def predict(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample] | None = None
    ) -> list[SegDataSample]:
        """Segment a batch.

        Returns:
            list[SegDataSample]: Each with ``pred_sem_seg`` (1, H, W) int64 and ``seg_logits``
            (C, H, W), scores not below 0 (by the rule ``'max'`` not above 1), at the original
            size, and ``pred_audio_classes``, the foreground classes that queries name after TD-A
            (Fig. 3b).
        """
        height, width = inputs["img"].shape[-2:]
        padded = (height, width)
        if data_samples is None:
            meta = dict(ori_shape=padded, img_shape=padded, pad_shape=padded)
            data_samples = [SegDataSample(metainfo=meta) for _ in inputs["img"]]
        output = self.encode_decode(inputs, [sample.metainfo for sample in data_samples])
        masks = output.masks(-1)
        for index, sample in enumerate(data_samples):
            padding = sample.metainfo.get("img_padding_size", (0, 0, 0, 0))
            cropped = (padded[0] - padding[3], padded[1] - padding[1])
            scores = self.merge(
                output.cls_logits[-1][index].float(),
                masks[index],
                resizer(padded, cropped, tuple(sample.ori_shape[:2])),
            )
            sample.seg_logits = PixelData(data=scores)
            sample.pred_sem_seg = PixelData(data=scores.argmax(0, keepdim=True))
        self.note_heard(output.cls_logits[0].argmax(-1), data_samples)
        return data_samples

    def note_heard(self, named: Tensor, data_samples: list[SegDataSample]) -> None:
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
