"""AVS-Stamps: photographs with recordings of their own, composed into scenes on the fly."""

from typing import Any

from mmcv.transforms import BaseTransform
from mmseg.registry import DATASETS, TRANSFORMS

from ...media.audio_functional import SAMPLE_RATE
from ..avs_dataset import AVSDataset
from ..palette import voc_palette
from .library import BUILT_IN, load_library
from .plan import SceneConfig, ScenePlan, plan_scene
from .scene import draw_picture, mix_sources

CLASSES = (
    "background", "bear", "camel", "cello", "chimpanzee", "cow", "crow", "cymbal", "dog",
    "dolphin", "donkey", "drum", "duck", "elephant", "fire-truck", "frog", "horse", "owl",
    "penguin", "rooster", "saw", "sheep", "tiger", "toilet", "violin",
)  # fmt: skip
PALETTE = voc_palette(len(CLASSES))
#: Objects in a picture, and how many of them sound (one of these numbers each time), chosen so that
#: labelling all that is visible gives at most 40 mIoU (data/stamps/README.md).
DIFFICULTY = {"ss": (3, (1,)), "ms": (6, (2, 2, 3)), "msmi": (4, (1,))}


@DATASETS.register_module()
class StampsDataset(AVSDataset):
    """Scenes of the built-in benchmark; scene ``index`` is the same for one seed and split.

    Args:
        subset: ``'ss'``: one object sounds; ``'ms'``: several; ``'msmi'``: one of two instances of
            a class, to be told apart by where its sound comes from (``num_channels=2``).
        split: ``'train'``, ``'val'`` or ``'test'``: no scene and no background in common.
        num_scenes: Size of the split.
        image_size: Side of the picture, px.
        num_samples: Length of the sound, samples at 16 kHz.
        num_channels: 1 mono or 2 stereo, panned by where an object is.
        num_objects: Objects in a picture; None: the subset's default (``DIFFICULTY``).
        num_sounding: How many of them sound, one of these numbers each time; None: the default.
        offscreen_prob: Probability of one more sound, of a class that is not in the picture.
        silent_prob: Probability that nothing in the picture sounds.
        object_size: Smallest and largest object, root of its area over the picture's side; None:
            the more objects, the smaller.
        gain_db: Largest random gain of a sound, up or down, dB.
        data_root: The folder with index.csv, cut-outs and sounds.
    """

    METAINFO = dict(classes=CLASSES, palette=PALETTE)
    AUDIO_KEYS = ("audio_path", "audio_index")

    def __init__(
        self,
        *,
        subset: str,
        split: str,
        num_scenes: int,
        image_size: int = 96,
        num_samples: int = 15360,
        num_channels: int = 1,
        num_objects: int | None = None,
        num_sounding: tuple[int, ...] | None = None,
        offscreen_prob: float = 0.1,
        silent_prob: float = 0.1,
        object_size: tuple[float, float] | None = None,
        gain_db: float = 4.0,
        data_root: str = BUILT_IN,
        seed: int = 0,
        **kwargs: Any,  # to AVSDataset
    ) -> None:
        if num_scenes < 1 or num_channels not in (1, 2):
            raise ValueError(
                f"num_scenes={num_scenes}, num_channels={num_channels}: give at least one scene "
                "and 1 (mono) or 2 (stereo) channels."
            )
        self.num_scenes, self.image_size = num_scenes, image_size
        self.num_samples, self.num_channels = num_samples, num_channels
        objects, sounding = difficulty(subset)
        objects = num_objects or objects
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
        )
        self.stamps_root = data_root
        names = [stamp.name for stamp in load_library(data_root)]
        if names != list(CLASSES[1:]):
            raise ValueError(f"{data_root}/index.csv lists {names}; expected {CLASSES[1:]}.")
        super().__init__(seed=seed, **kwargs)
        if self.label_map is not None:
            raise ValueError("The classes of AVS-Stamps are fixed; leave metainfo.classes out.")

    def load_data_list(self) -> list[dict[str, Any]]:
        return [dict(scene_index=index) for index in range(self.num_scenes)]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        info = super().get_data_info(idx)
        config, index = self.scene_config, info["scene_index"]
        name = f"stamps-{config.subset}-{config.split}-{config.seed}/{index:05d}"
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

    def plan(self, scene_index: int) -> ScenePlan:
        """What is in a scene."""
        return plan_scene(self.scene_config, load_library(self.stamps_root), scene_index)

    def compose(self, scene_index: int, audio_index: int) -> dict[str, Any]:
        """Picture and labels of one scene with the sound of one, mostly the same one."""
        stamps = load_library(self.stamps_root)
        plan = self.plan(scene_index)
        heard = plan if audio_index == scene_index else self.plan(audio_index)
        picture = draw_picture(
            plan.objects,
            stamps,
            split=self.scene_config.split,
            background_seed=plan.background_seed,
            size=self.image_size,
        )
        return dict(
            img=picture.image,
            gt_seg_map=picture.class_map(plan.objects, all_visible=False),
            visible_map=picture.class_map(plan.objects, all_visible=True),
            waveform=mix_sources(
                heard.sources, stamps, num_samples=self.num_samples, channels=self.num_channels
            ),
            sound_classes=sorted({item.class_index for item in plan.objects if item.sounds}),
        )

    def heard_classes(self, idx: int) -> set[int]:
        return self.plan(self.get_data_info(idx)["scene_index"]).heard_classes

    def visible_classes(self, idx: int) -> set[int]:
        return self.plan(self.get_data_info(idx)["scene_index"]).visible_classes


def difficulty(subset: str) -> tuple[int, tuple[int, ...]]:
    """What ``DIFFICULTY`` has for a subset; one that doesn't exist is left to ``SceneConfig``."""
    return DIFFICULTY.get(subset, DIFFICULTY["ss"])


def default_object_size(num_objects: int) -> tuple[float, float]:
    """Sizes that leave the objects room: 0.24 to 0.42 for three."""
    shrink = (3 / max(num_objects, 3)) ** 0.5
    return 0.24 * shrink, 0.42 * shrink


@TRANSFORMS.register_module()
class ComposeStampsScene(BaseTransform):
    """Make ``img``, ``gt_seg_map`` and ``waveform`` of an entry of ``StampsDataset``."""

    def transform(self, results: dict) -> dict:
        scene_set: StampsDataset = results.pop("scene_set")
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
