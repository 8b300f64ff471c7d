"""The base of all audio-visual sets: the index, bad samples, repeatable draws, test conditions."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from mmengine.logging import print_log
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from ..errors import BadSampleError, UserError
from .mask_decoding import decode_mask, read_labels, values_in
from .negative_sounds import NEGATIVE_SOUNDS, without_objects
from .sample_index import SampleIndex
from .seeding import seeded
from .steps import check_packed, run_steps

Prepared = TypeVar("Prepared")

#: Their places seed the scenes of AVS-Stamps, too.
SPLITS = ("train", "val", "test")
AUDIO_CONDITIONS = ("normal", *NEGATIVE_SOUNDS)
#: Masks that are looked at, evenly spaced over the set, until one labels something.
_MASKS_TO_TRY = 1000


@DATASETS.register_module()
class AVSDataset(BaseSegDataset):
    """One item is one frame with the sound around it. Subclasses write ``load_data_list``.

    Each entry holds ``img_path``, ``seg_map_path`` (or None), ``audio_path``, ``audio_start`` (s;
    may be negative or behind the end), ``clip_id``, ``frame_index``, ``subset``, and where known
    ``sound_classes``, the class indices that sound. ``entry`` fills in what mmseg wants besides.

    A bad sample (``BadSampleError``) is named once and another one taken in its place, with the
    names of what was skipped in the metainfo ``skipped``; with ``strict`` or at test it is raised.

    Args:
        strict: Raise at a bad sample in training too.
        seed: Start of all randomness of the set: augmentation by draw, replacements, conditions.
        audio_condition: What is heard at test. ``'silence'``; ``'noise'``: white noise as loud as
            the clip; ``'offscreen'``: the sound of another item that has no class in common with
            the picture of this one.
    """

    #: Keys of an entry that go with the sound, and are taken from the other item for 'offscreen'.
    AUDIO_KEYS: tuple[str, ...] = ("audio_path", "audio_start")
    #: How mask files carry classes: 'index', 'binary' or 'color', see ``decode_mask``.
    MASK_ENCODING = "index"

    def __init__(
        self,
        *,
        strict: bool = False,
        seed: int = 0,
        audio_condition: str = "normal",
        **kwargs: Any,  # to BaseSegDataset
    ) -> None:
        if audio_condition not in AUDIO_CONDITIONS:
            raise ValueError(
                f"audio_condition={audio_condition!r}: use one of {', '.join(AUDIO_CONDITIONS)}."
            )
        if audio_condition != "normal" and not kwargs.get("test_mode", False):
            raise ValueError(
                f"audio_condition={audio_condition!r} is a condition of the test; "
                "set test_mode=True or leave it 'normal'."
            )
        if kwargs.get("reduce_zero_label"):
            raise ValueError(
                "reduce_zero_label=True: class 0 is the background, which is scored; leave it out."
            )
        self.strict, self.seed, self.audio_condition = strict, seed, audio_condition
        self._reported: set[str] = set()
        super().__init__(**kwargs)

    def entry(
        self,
        *,
        img_path: str,
        audio_path: str,
        audio_start: float,
        clip_id: str,
        frame_index: int,
        subset: str,
        seg_map_path: str | None = None,
        sound_classes: Sequence[int] | None = None,
        **extra: Any,  # further keys of a subclass
    ) -> dict[str, Any]:
        """An index entry with all keys that the transforms read."""
        entry = dict(
            img_path=img_path,
            seg_map_path=seg_map_path,
            audio_path=audio_path,
            audio_start=audio_start,
            clip_id=clip_id,
            frame_index=frame_index,
            subset=subset,
            label_map=self.label_map,
            reduce_zero_label=False,
            seg_fields=[],
            **extra,
        )
        if sound_classes is not None:
            renamed = self.label_map or {}
            chosen = (renamed.get(label, label) for label in sound_classes)
            entry["sound_classes"] = [label for label in chosen if label != self.ignore_index]
        return entry

    def full_init(self) -> None:
        """Read the index, and look whether the masks label anything."""
        if not self._fully_initialized:
            super().full_init()
            with seeded(self.seed):  # an item may choose its frame at random
                self._check_foreground()

    def _serialize_data(self) -> Any:
        if not self.data_list:
            where = f"{type(self).__name__} has no item (data_root={self.data_root!r})"
            raise UserError(f"{where}; check where its files are, and its split and indices")
        return super()._serialize_data()

    def _check_foreground(self) -> None:
        """Stop where no mask labels what sounds: all would be background, and score 100.

        Stop, too, where there are masks, none of which can be read; single ones, and files that
        are missing, are left to their turn. A test may be of silence alone.
        """
        nothing: list[str] = []
        ignored = False
        unreadable: BadSampleError | None = None
        for idx in range(0, len(self), max(len(self) // _MASKS_TO_TRY, 1)):
            info = self.get_data_info(idx)
            try:
                values = self._mask_values(info)
            except BadSampleError as error:
                if Path(error.path).is_file():
                    unreadable = unreadable or error
                continue
            if values - {0, self.ignore_index}:
                return
            if values:
                nothing.append(info["seg_map_path"])
                ignored |= self.ignore_index in values
        if unreadable is not None and not nothing:
            raise unreadable
        if nothing and (ignored or not self.test_mode):
            held = "background (0) and what is ignored (255)" if ignored else "background (0)"
            raise BadSampleError(
                nothing[0],
                f"the mask holds {held} alone, and so do all of the {len(nothing)} masks looked "
                "at: nothing is labelled as sounding",
                "For masks of 0 and 255 set MASK_ENCODING = 'binary' in the data set's class; "
                "other masks need class indices from 1 on, of classes that metainfo.classes keeps",
            )

    def get_data_info(self, idx: int) -> dict[str, Any]:
        info = super().get_data_info(idx)
        info["num_classes"] = len(self._metainfo["classes"])
        # Of the file's classes: metainfo.classes may choose some of them, by label_map.
        info["palette"] = self.METAINFO.get("palette", self._metainfo["palette"])
        info["mask_encoding"] = self.MASK_ENCODING
        info["audio_condition"] = self.audio_condition
        return info

    def __getitem__(self, idx: int) -> dict[str, Any]:
        if not self._fully_initialized:
            self.full_init()
        if isinstance(idx, SampleIndex):
            with seeded(self.seed, idx.draw):
                return self._fetch(int(idx))
        return self._fetch(idx)

    def _fetch(self, idx: int) -> dict[str, Any]:
        return self.usable(idx, self.prepare_data, self._rand_another)

    def check_first_item(self) -> None:
        """Run the pipeline once, so that what is wrong with its steps is told before a run begins.

        No random state moves.

        Raises:
            UserError: A step can't do its work, or what comes out is nothing that a model takes.
        """
        with seeded(self.seed):
            check_packed(self[0], self.pipeline.transforms)

    def usable(
        self,
        idx: int,
        prepare: Callable[[int, Sequence[str]], Prepared],
        another: Callable[[], int],
    ) -> Prepared:
        """What ``prepare`` makes of an item, or where that is bad, of another one.

        Args:
            idx: The item wanted.
            prepare: Takes an item and the bad files so far; raises ``BadSampleError``.
            another: Draws an item to try instead.

        Raises:
            BadSampleError: At the first bad file at test or with ``strict``, else after
                ``max_refetch`` others.
        """
        skipped: list[str] = []
        for _ in range(self.max_refetch + 1):
            try:
                return prepare(idx, skipped)
            except BadSampleError as error:
                if self.strict or self.test_mode:
                    raise
                skipped.append(error.path)
                self._report(error)
                idx = another()
        raise BadSampleError(
            ", ".join(skipped[-3:]),
            f"no usable sample after {self.max_refetch + 1} tries, these were the last",
            "Check data_root",
        )

    def _report(self, error: BadSampleError) -> None:
        if error.path not in self._reported:
            self._reported.add(error.path)
            print_log(f"Skipped: {error}", logger="current", level=logging.WARNING)

    def prepare_data(self, idx: int, skipped: Sequence[str] = ()) -> dict[str, Any]:
        """Run the pipeline on an item, under the test's audio condition."""
        info = self.get_data_info(idx)
        info["skipped"] = list(skipped)
        info["sound_set"] = self  # for transforms that take another item's sound
        if self.audio_condition == "offscreen":
            donor = self.get_data_info(self.offscreen_donor(idx))
            info.update({key: donor[key] for key in self.AUDIO_KEYS})
        packed = run_steps(self.pipeline.transforms, info)
        packed.pop("sound_set", None)  # where nothing is packed
        if self.audio_condition in ("silence", "noise"):
            waveform = packed["inputs"]["waveform"]
            packed["inputs"]["waveform"] = self._replaced(waveform, info["sample_idx"])
        return packed

    def _replaced(self, waveform: torch.Tensor, idx: int) -> torch.Tensor:
        rng = np.random.default_rng((self.seed, idx))
        return torch.from_numpy(without_objects(waveform.numpy(), self.audio_condition, rng))

    def offscreen_donor(self, idx: int) -> int:
        """The item whose sound takes the place of item ``idx``'s at test: the same one every time.

        Items are tried in an order drawn from the seed and ``idx``; the first that sounds and has
        no class in common with the picture of ``idx`` is taken.
        """
        info = self.get_data_info(idx)
        order = np.random.default_rng((self.seed, idx)).permutation(len(self))
        if (donor := self.foreign_entry(info, order)) is not None:
            return donor["sample_idx"]
        raise UserError(
            f"audio_condition='offscreen': no item has a sound without the classes "
            f"{sorted(self.visible_classes(info))} of item {idx}. The set needs others."
        )

    def foreign_entry(self, info: dict[str, Any], order: np.ndarray) -> dict[str, Any] | None:
        """Of the first item in ``order`` that sounds and has no class of ``info``'s picture."""
        visible = self.visible_classes(info)
        for idx in map(int, order):
            donor = self.get_data_info(idx)
            heard = self.heard_classes(donor)
            if heard and not heard & visible:
                return donor
        return None

    def heard_classes(self, info: dict[str, Any]) -> set[Any]:
        """What sounds in an item (of ``get_data_info``), from the index or else from its mask.

        Class indices; a set whose masks don't tell its categories apart (binary ones) overrides
        this with anything that does.
        """
        if "sound_classes" in info:
            return set(info["sound_classes"])
        return self._mask_values(info) - {0, self.ignore_index}

    def _mask_values(self, info: dict[str, Any]) -> set[int]:
        """Values of an entry's decoded mask; none where it has no mask."""
        path = info["seg_map_path"]
        if path is None:
            return set()
        classes = decode_mask(
            read_labels(path, self.MASK_ENCODING, info["palette"]),
            path,
            encoding=self.MASK_ENCODING,
            num_classes=info["num_classes"],
            palette=info["palette"],
            label_map=info["label_map"],
        )
        return set(values_in(classes))

    def visible_classes(self, info: dict[str, Any]) -> set[Any]:
        """What is known to be in an item's picture; where only what sounds is labelled, that."""
        return self.heard_classes(info)
