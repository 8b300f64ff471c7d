"""What all segmentors of picture and sound share: their parts, losses and the door to predictions.

Shorthand: B batch, C classes with background, H W image size.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from ..structures import SoundMap
from .memory_layout import fast_layout
from .resizing import Resize, resizer

ConfigType = dict[str, Any]


class BaseAVSegmentor(BaseSegmentor):
    """A segmentor whose training criterion is a module that the config names.

    Args:
        data_preprocessor: Config of the ``AVDataPreprocessor``.
        backbone: Image backbone with maps at strides 4, 8, 16 and 32.
        audio_backbone: Audio backbone; see ``models/audio_backbones``.
        decode_head: Config of the head.
        criterion: Config of the training criterion. None builds a model for inference, which
            loads a checkpoint stripped of the prefix ``criterion.``.
        init_cfg: Initialisation of the whole model.
        pretrained: None, which mmseg's clients set on the model of every config.
        train_cfg: As ``pretrained``.
        test_cfg: As ``pretrained``.
    """

    #: Frames that see one another; a batch for a prediction should hold a multiple of it.
    clip_length: int = 1
    #: Frames that a prediction looks back over, its own among them; see ``AVSegmentor.follow``.
    time_window: int = 1
    #: Whether frames of a clip are to go through ``AVSegmentor.follow``.
    follows: bool = False

    @property
    def frames_of_a_graph(self) -> int:
        """Frames of one clip that a graph takes: those that see one another, or are looked over."""
        return max(self.clip_length, self.time_window)

    def __init__(
        self,
        *,
        data_preprocessor: ConfigType,
        backbone: ConfigType,
        audio_backbone: ConfigType,
        decode_head: ConfigType,
        criterion: ConfigType | None = None,
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
                    f"model.{name} is {value!r}, and {type(self).__name__} does not read it: "
                    "weights are named in backbone.init_cfg and audio_backbone.init_cfg, and how "
                    "to train and to test in criterion and merge"
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
        self._build_between(decode_head)
        self.decode_head = MODELS.build(decode_head)
        # Built last and off a copy of the random state, so that the other parts start from the same
        # numbers with any criterion, here and in init_weights.
        with torch.random.fork_rng(devices=[]):
            self.criterion = None if criterion is None else self._build_criterion(criterion)

    def _build_between(self, decode_head: ConfigType) -> None:
        """What stands between the backbones and the head, if anything does."""

    @abstractmethod
    def _build_criterion(self, criterion: ConfigType) -> nn.Module:
        """The criterion, given what it has to know of the other parts."""

    @property
    def sound_channels(self) -> int | None:
        """A of the sounds that the model takes; None where the audio backbone does not say."""
        return getattr(self.audio_backbone, "in_channels", None)

    def image_maps(self, img: Tensor) -> Sequence[Tensor]:
        """The image backbone's maps of normalised images (B, 3, H, W), finest first."""
        maps = self.backbone(fast_layout(img))
        given, wanted = [one.shape[1] for one in maps], self.decode_head.in_channels
        if given != wanted:
            raise ValueError(
                f"model.decode_head.in_channels is {wanted}, and the image backbone gives maps of "
                f"{given} channels; set model.decode_head.in_channels={given}"
            )
        return maps

    def sound_maps(self, specgram: Tensor) -> tuple[Tensor, ...]:
        """The audio backbone's maps of linear magnitude spectrograms (B, A, T, F)."""
        return tuple(level.linear() for level in self.sound_levels(specgram))

    def sound_levels(self, specgram: Tensor) -> tuple[SoundMap, ...]:
        """The same maps, of a backbone with ``own_maps`` on its own frequencies."""
        expected, given = getattr(self.audio_backbone, "in_channels", None), specgram.shape[1]
        if expected is not None and expected != given:
            raise ValueError(
                f"model.audio_backbone.in_channels is {expected}, and the data's sound has {given} "
                "channels; give both the same number"
            )
        own_maps = getattr(self.audio_backbone, "own_maps", None)
        return (
            own_maps(specgram) if own_maps else tuple(map(SoundMap, self.audio_backbone(specgram)))
        )

    def loss(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """All training losses, which are the criterion's."""
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
            (C, H, W), scores not below 0, at the original size.
        """
        output, samples = self._output(inputs, data_samples)
        for sample, picture, resize in self.pictures(output, inputs, samples):
            scores = self.draw(picture, resize)
            sample.seg_logits = PixelData(data=scores)
            # On a CPU max takes a third of argmax's time; both give the first of equal classes.
            sample.pred_sem_seg = PixelData(data=scores.max(0, keepdim=True).indices)
        return samples

    def best_step(self, data: dict[str, Any]) -> list[SegDataSample]:
        """As ``test_step`` for whoever asks for masks alone, which is faster and takes less memory.

        Args:
            data: A collated batch.

        Returns:
            list[SegDataSample]: See ``note_best``.
        """
        batch = self.data_preprocessor(data, False)
        output, samples = self._output(batch["inputs"], batch.get("data_samples"))
        return self.note_best(output, batch["inputs"], samples)

    def note_best(
        self, output: Any, inputs: dict[str, Tensor], data_samples: list[SegDataSample]
    ) -> list[SegDataSample]:
        """Write the masks to the samples.

        Args:
            output: Of ``encode_decode``.
            inputs: The preprocessed batch.
            data_samples: With their sizes in the metainfo.

        Returns:
            list[SegDataSample]: Each with ``pred_sem_seg`` as of ``predict``, and in place of
            ``seg_logits`` its largest scores, ``pred_scores`` (1, H, W).
        """
        for sample, picture, resize in self.pictures(output, inputs, data_samples):
            self._note(sample, *self.draw_best(picture, resize))
        return data_samples

    @staticmethod
    def _note(sample: SegDataSample, best: Tensor, labels: Tensor) -> None:
        sample.pred_scores = PixelData(data=best)
        sample.pred_sem_seg = PixelData(data=labels)

    def _output(
        self, inputs: dict[str, Tensor], data_samples: list[SegDataSample] | None
    ) -> tuple[Any, list[SegDataSample]]:
        """What ``encode_decode`` gives, and the samples, which are made where there are none."""
        if data_samples is None:
            size = tuple(inputs["img"].shape[-2:])
            meta = dict(ori_shape=size, img_shape=size, pad_shape=size)
            data_samples = [SegDataSample(metainfo=meta) for _ in inputs["img"]]
        metas = [sample.metainfo for sample in data_samples]
        return self.encode_decode(inputs, metas), data_samples

    def pictures(
        self, output: Any, inputs: dict[str, Tensor], data_samples: list[SegDataSample]
    ) -> Iterator[tuple[SegDataSample, Any, Resize]]:
        """Each sample, told what was heard, with what ``draw`` takes."""
        self.note_heard(self.heard(output), data_samples)
        height, width = inputs["img"].shape[-2:]
        for sample, picture in zip(data_samples, self.per_picture(output), strict=True):
            padding = sample.metainfo.get("img_padding_size", (0, 0, 0, 0))
            cropped = (height - padding[3], width - padding[1])
            yield sample, picture, resizer((height, width), cropped, tuple(sample.ori_shape[:2]))

    @abstractmethod
    def per_picture(self, output: Any) -> Tensor | Sequence[Any]:
        """What ``draw`` takes, one of each picture, of what ``encode_decode`` gives."""

    @abstractmethod
    def draw(self, picture: Any, resize: Resize) -> Tensor:
        """Scores (C, H, W) of one picture, not below 0.

        Args:
            picture: Of ``per_picture``.
            resize: Brings maps (n, h, w) to (n, H, W).
        """

    #: Whether ``draw_best`` holds a map (H, W) of every class.
    draws_all_classes: bool = True

    def draw_best(self, picture: Any, resize: Resize) -> tuple[Tensor, Tensor]:
        """The largest of the scores that ``draw`` gives, and their classes, both (1, H, W)."""
        best = self.draw(picture, resize).max(0, keepdim=True)
        return best.values, best.indices

    def draw_static(self, picture: Any, resize: Resize) -> Tensor:
        """What ``draw`` gives, for graphs: no shape depends on what is predicted."""
        return self.draw(picture, resize)

    def draw_best_static(self, picture: Any, resize: Resize) -> tuple[Tensor, Tensor]:
        """What ``draw_best`` gives, for graphs."""
        best = self.draw_static(picture, resize).max(0, keepdim=True)
        return best.values, best.indices

    def heard(self, output: Any) -> Tensor:
        """Classes that queries name after they have heard the sound, (B, N); without such, N is 0.

        Args:
            output: Of ``encode_decode``.
        """
        return torch.empty(len(self.per_picture(output)), 0, dtype=torch.long)

    def note_heard(self, named: Tensor, data_samples: Sequence[SegDataSample]) -> None:
        """Write what ``heard`` gave to the samples; nothing where nothing hears by itself."""
