"""Scenes that are composed on the fly from photographs and recordings (VPO's recipe)."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS, TRANSFORMS

from ...constants import SAMPLE_RATE
from ...media.audio_functional import Waveform
from ..avs_dataset import AVSDataset
from ..palette import voc_palette
from ..unread import refuse_unread
from .index import choose, read_index
from .library import Library
from .plan import SceneConfig, ScenePlan, Source, plan_scene
from .scene import STEREO, draw_picture, mix_sources

#: Objects in a picture, and how many of them sound (one of these numbers each time), chosen so that
#: labelling all that is visible gives at most 40 mIoU (data/stamps/README.md, docs/real.md).
DIFFICULTY = {"ss": (3, (1,)), "ms": (6, (2, 2, 3)), "msmi": (4, (1,))}


@lru_cache(maxsize=8)
def load_library(
    data_root: str, split: str, leave_out: tuple[str, ...] = (), classes: tuple[str, ...] = ()
) -> Library:
    """The photographs and recordings of a split.

    The classes are those of the whole index, so that all splits number them alike.
    """
    remedy = "tools/prepare_data.py compose makes one (docs/real.md)"
    items = read_index(Path(data_root), remedy)
    everything = Library(items)
    library = Library(choose(items, split, leave_out, classes), everything.names)
    library.num_labelled = everything.num_labelled
    return library


@DATASETS.register_module()
class ComposedDataset(AVSDataset):
    """Scenes of a folder's photographs and recordings; the same for one seed, split and index.

    A scene is a photograph, with the objects of other photographs pasted in; some of what is seen
    sounds, and that alone is labelled. Classes without recordings are silent objects, classes
    without photographs are heard off-screen.

    Args:
        data_root: The folder with index.csv, see ``index.py``.
        subset: ``'ss'``: one object sounds; ``'ms'``: several; ``'msmi'``: one of two instances of
            a class, to be told apart by where its sound comes from (``num_channels=2``).
        split: ``'train'``, ``'val'`` or ``'test'``: no photograph and no recording in common.
        num_scenes: Size of the split.
        image_size: Side of the picture, px.
        num_samples: Length of the sound, samples at 16 kHz.
        num_channels: 1 mono or 2 stereo, panned by where an object is.
        stereo: By what two channels tell where: ``'level'``, as in VPO, or ``'delay'``, as
            two microphones some way apart hear it.
        num_objects: Objects in a picture; None: the subset's default (``DIFFICULTY``).
        num_sounding: How many of them sound, one of these numbers each time; None: the default.
        plain_prob: Probability of a photograph as it is, nothing pasted in; in half of them
            what it shows is not what is heard.
        offscreen_prob: Probability of one more sound, of a class that is not in the picture.
        silent_prob: Probability that nothing in the picture sounds.
        object_size: Smallest and largest pasted object, root of its area over the picture's side;
            None: the more objects, the smaller.
        gain_db: Largest random gain of a sound, up or down, dB.
        leave_out: Sources (a column of the index) and files, as it names them, that are not used.
        classes: Only these are seen and heard, labelled as they are among all; none named: all.
    """

    AUDIO_KEYS = ("audio_path", "audio_index")

    def __init__(
        self,
        *,
        subset: str,
        split: str,
        num_scenes: int,
        data_root: str,
        image_size: int = 160,
        num_samples: int = 15360,
        num_channels: int = 1,
        stereo: str = "level",
        num_objects: int | None = None,
        num_sounding: Sequence[int] | None = None,
        plain_prob: float = 0.25,
        offscreen_prob: float = 0.1,
        silent_prob: float = 0.1,
        object_size: tuple[float, float] | None = None,
        gain_db: float = 4.0,
        leave_out: Sequence[str] = (),
        classes: Sequence[str] = (),
        seed: int = 0,
        **kwargs: Any,  # to AVSDataset
    ) -> None:
        if num_scenes < 1 or num_channels not in (1, 2):
            raise ValueError(
                f"num_scenes={num_scenes}, num_channels={num_channels}: give at least one scene "
                "and 1 (mono) or 2 (stereo) channels."
            )
        if image_size < 1 or num_samples < 1:
            raise ValueError(
                f"image_size={image_size}, num_samples={num_samples}: give at least one pixel and "
                "one sample."
            )
        refuse_unread(type(self), kwargs, "ann_file")
        self.num_scenes, self.image_size = num_scenes, image_size
        if stereo not in STEREO:
            raise ValueError(f"stereo={stereo!r}: choose one of {sorted(STEREO)}.")
        self.num_samples, self.num_channels, self.stereo = num_samples, num_channels, stereo
        objects, sounding = difficulty(subset)
        objects = objects if num_objects is None else num_objects
        self.scene_config = SceneConfig(
            subset=subset,
            split=split,
            seed=seed,
            num_objects=objects,
            num_sounding=tuple(num_sounding or sounding),
            offscreen_prob=offscreen_prob,
            silent_prob=silent_prob,
            object_size=object_size or default_object_size(objects),
            gain_db=gain_db,
            plain_prob=plain_prob,
        )
        self.scenes_root, self.leave_out = data_root, tuple(leave_out)
        self.only = tuple(classes)
        self._check_library()
        names = ("background", *self.library.names[: self.library.num_labelled])
        metainfo = dict(classes=names, palette=voc_palette(len(names)))
        super().__init__(seed=seed, metainfo=kwargs.pop("metainfo", metainfo), **kwargs)
        if self._metainfo["classes"] != names:
            raise ValueError("The classes are those of the index; leave metainfo.classes out.")

    @property
    def library(self) -> Library:
        """What this split's scenes are made from."""
        return load_library(self.scenes_root, self.scene_config.split, self.leave_out, self.only)

    def _check_library(self) -> None:
        """Refuse a split in which scenes as wanted can't be made."""
        library, config = self.library, self.scene_config
        if unknown := sorted(set(self.only) - set(library.names)):
            raise ValueError(
                f"{self.scenes_root}/index.csv has no class {', '.join(unknown)}; it has "
                f"{', '.join(library.names)}."
            )
        both = set(library.visible) & set(library.audible)
        distinct = config.num_objects - (config.subset == "msmi")
        if len(library.visible) < distinct or len(both) < max(config.num_sounding):
            raise ValueError(
                f"{self.scenes_root}/index.csv, split {config.split!r}: {len(library.visible)} "
                f"classes with photographs, {len(both)} of them with recordings; the scenes need "
                f"{distinct}, of which {max(config.num_sounding)} sound."
            )

    def load_data_list(self) -> list[dict[str, Any]]:
        return [dict(scene_index=index) for index in range(self.num_scenes)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        info = super().get_data_info(idx)
        config, index = self.scene_config, info["scene_index"]
        name = f"{self.scene_name}-{config.subset}-{config.split}-{config.seed}/{index:05d}"
        entry = self.entry(
            img_path=f"{name}.png",
            audio_path=f"{name}.wav",
            audio_start=0.0,
            clip_id=name,
            frame_index=0,
            subset=config.subset,
            audio_index=index,
        )
        return info | entry | dict(scene_set=self)

    @property
    def scene_name(self) -> str:
        """What the names of scenes begin with."""
        return Path(self.scenes_root).name

    def plan(self, scene_index: int) -> ScenePlan:
        """What is in a scene."""
        return plan_scene(self.scene_config, self.library, scene_index)

    def compose(self, scene_index: int, audio_index: int) -> dict[str, Any]:
        """Picture and labels of one scene with the sound of one, mostly the same one."""
        library, plan = self.library, self.plan(scene_index)
        heard = plan if audio_index == scene_index else self.plan(audio_index)
        picture = draw_picture(plan, library, split=self.scene_config.split, size=self.image_size)
        labelled = library.num_labelled
        return dict(
            img=picture.image,
            gt_seg_map=picture.class_map(plan.things, all_visible=False, num_labelled=labelled),
            visible_map=picture.class_map(plan.things, all_visible=True, num_labelled=labelled),
            waveform=self.sound(audio_index, heard),
            sound_classes=sorted(plan.sounding_classes),
            sound_positions=[(source.class_index, source.position) for source in plan.sources],
        )

    def sound(self, scene_index: int, plan: ScenePlan) -> Waveform:
        """What is heard of a scene, (A, L).

        Args:
            scene_index: Which one.
            plan: Its plan.
        """
        return self.mix(plan.sources, self.num_samples)

    def mix(self, sources: Sequence[Source], num_samples: int) -> Waveform:
        """Any sources as this set's scenes are heard, (A, num_samples)."""
        return mix_sources(
            sources,
            self.library,
            num_samples=num_samples,
            channels=self.num_channels,
            stereo=self.stereo,
        )

    def heard_classes(self, info: dict[str, Any]) -> set[int]:
        return self.plan(info["scene_index"]).heard_classes

    def visible_classes(self, info: dict[str, Any]) -> set[int]:
        return self.plan(info["scene_index"]).visible_classes


def difficulty(subset: str) -> tuple[int, tuple[int, ...]]:
    """What ``DIFFICULTY`` has for a subset; one that doesn't exist is left to ``SceneConfig``."""
    return DIFFICULTY.get(subset, DIFFICULTY["ss"])


def default_object_size(num_objects: int) -> tuple[float, float]:
    """Sizes that leave the objects room: 0.24 to 0.42 for three."""
    shrink = (3 / max(num_objects, 3)) ** 0.5
    return 0.24 * shrink, 0.42 * shrink


@TRANSFORMS.register_module(name=["ComposeScene", "ComposeStampsScene"])
class ComposeScene(BaseTransform):
    """Make ``img``, ``gt_seg_map`` and ``waveform`` of an entry of ``ComposedDataset``."""

    def transform(self, results: dict) -> dict:
        scene_set: ComposedDataset = results.pop("scene_set")
        results.update(scene_set.compose(results["scene_index"], results["audio_index"]))
        shape = results["img"].shape[:2]
        results.update(
            img_shape=shape,
            ori_shape=shape,
            seg_map_path=results["img_path"],
            sample_rate=SAMPLE_RATE,
        )
        results["seg_fields"].append("gt_seg_map")
        return results


@TRANSFORMS.register_module()
class LabelVisible(BaseTransform):
    """Label all that can be seen, sounding or not, as if all of it sounded.

    For a start of the visual part: no sound tells what is to be labelled. Follows ``ComposeScene``,
    whose ``gt_seg_map`` and ``sound_classes`` it replaces.
    """

    def transform(self, results: dict) -> dict:
        visible = results["gt_seg_map"] = results["visible_map"]
        results["sound_classes"] = np.unique(visible[visible > 0]).tolist()
        return results
