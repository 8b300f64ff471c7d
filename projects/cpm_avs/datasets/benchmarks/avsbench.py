"""AVSBench-object (S4, MS3) and AVSBench-semantic: index, file names and frame flags."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmseg.registry import DATASETS

from ...errors import UserError
from ..palette import voc_palette
from .benchmark_dataset import BenchmarkDataset
from .class_names import AVSS_CLASSES, BINARY_CLASSES, check_label2idx
from .clip_index import Clip, Column, Frame, Row, Sound, read_table
from .paired_clips import PairedClipsDataset
from .robust_pairing import pair_ms3, pair_s4

#: Seconds of sound that a frame hears: 96 spectrogram frames.
WINDOW = 0.96
#: Frames per clip of each subset, one a second.
NUM_FRAMES = {"v1s": 5, "v1m": 5, "v2": 10}
#: Single- and multi-source test videos of AVSBench-semantic that the CPM paper counts.
TEST_SOURCES = {"ss": 1278, "ms": 276}
#: How the masks of each folder of AVSBench-semantic carry classes.
LABEL_DIRS = {"labels_semantic": "index", "labels_rgb": "color"}

S4_COLUMNS = {
    "name": Column(("name", "video_name", "video_id"), 0, in_paths=True),
    "category": Column(("category",), 2, in_paths=True),
    "split": Column(("split",), 3, in_paths=True),
}
MS3_COLUMNS = {
    "name": Column(("video_id", "name", "video_name"), 0, in_paths=True),
    "split": Column(("split",), 1, in_paths=True),
}
#: In AVSBench-semantic's index: what sounds in the videos of MS3, which are its v1m.
MS3_OBJECTS_COLUMNS = {
    "vid": Column(("vid",), 0),
    "a_obj": Column(("a_obj",), 4),
    "subset": Column(("label",), 6),
}
AVSS_COLUMNS = {
    "uid": Column(("uid",), 1, in_paths=True),
    "a_obj": Column(("a_obj",), 4),
    "split": Column(("split",), 5),
    "subset": Column(("label",), 6, in_paths=True),
}


def labelled(subset: str, split: str, index: int) -> bool:
    """Whether a frame has a mask: all do, but in v1s (S4) train only the first."""
    return not (subset == "v1s" and split == "train") or index == 0


def source_of(a_obj: str) -> str | None:
    """'ss' for one kind of sounding object, 'ms' for several; None where none is named.

    The authors' files don't define the partition of the test set; one name in ``a_obj`` (names
    are joined by "_" and contain none) is the rule that the column suggests.
    """
    names = object_names(a_obj)
    return ("ss" if len(set(names)) == 1 else "ms") if names else None


def object_names(a_obj: str) -> tuple[str, ...]:
    """Names joined in a cell of ``a_obj``."""
    return tuple(name for name in a_obj.split("_") if name)


def read_s4(root: Path, ann_file: str | Path) -> list[Clip]:
    """Clips of ``Single-source/``."""
    data = root / "s4_data"

    def clip(row: Row) -> Clip:
        name, category, split = (row.values[key] for key in ("name", "category", "split"))
        folder = Path(split, category)
        images, masks = data / "visual_frames" / folder / name, data / "gt_masks" / folder / name
        return _video_clip(
            row,
            name=name,
            split=split,
            subset="v1s",
            audio=data / "audio_wav" / folder / f"{name}.wav",
            files=[(images / f"{name}_{k}.png", masks / f"{name}_{k}.png") for k in range(1, 6)],
            classes=(category,),
        )

    return [clip(row) for row in read_table(ann_file, S4_COLUMNS).rows]


def read_ms3(
    root: Path, ann_file: str | Path, objects: Mapping[str, tuple[str, ...]] | None = None
) -> list[Clip]:
    """Clips of ``Multi-sources/``; its frames carry a ".mp4" in their names, its masks don't.

    ``objects`` has the names of what sounds in a video, which the index lacks.
    """
    data = root / "ms3_data"

    def clip(row: Row) -> Clip:
        name, split = row.values["name"], row.values["split"]
        images, masks = data / "visual_frames" / name, data / "gt_masks" / split / name
        return _video_clip(
            row,
            name=name,
            split=split,
            subset="v1m",
            audio=data / "audio_wav" / split / f"{name}.wav",
            files=[
                (images / f"{name}.mp4_{k}.png", masks / f"{name}_{k}.png") for k in range(1, 6)
            ],
            classes=(objects or {}).get(name, ()),
        )

    return [clip(row) for row in read_table(ann_file, MS3_COLUMNS).rows]


def read_ms3_objects(index: Path) -> dict[str, tuple[str, ...]]:
    """Video of MS3 -> names of what sounds in it; none where there is no such index."""
    if not index.is_file():
        return {}
    rows = [row.values for row in read_table(index, MS3_OBJECTS_COLUMNS).rows]
    return {row["vid"]: object_names(row["a_obj"]) for row in rows if row["subset"] == "v1m"}


def read_avss(
    root: Path, ann_file: str | Path, *, label_dir: str = "labels_semantic"
) -> list[Clip]:
    """Clips of AVSBench-semantic; a subset that doesn't exist gives a clip without frames."""

    def clip(row: Row) -> Clip:
        uid, a_obj, split, subset = (row.values[key] for key in ("uid", "a_obj", "split", "subset"))
        folder = root / subset / uid
        return _video_clip(
            row,
            name=uid,
            split=split,
            subset=subset,
            audio=folder / "audio.wav",
            files=[
                (folder / "frames" / f"{k}.jpg", folder / label_dir / f"{k}.png")
                for k in range(NUM_FRAMES.get(subset, 0))
            ],
            classes=object_names(a_obj),
            source=source_of(a_obj),
        )

    return [clip(row) for row in read_table(ann_file, AVSS_COLUMNS).rows]


def _video_clip(
    row: Row,
    *,
    name: str,
    split: str,
    subset: str,
    audio: Path,
    files: list[tuple[Path, Path]],
    classes: tuple[str, ...] = (),
    source: str | None = None,
) -> Clip:
    """A clip whose k-th frame goes with its k-th second."""
    skipped = row.skipped_frames
    frames = tuple(
        Frame(k, str(image), str(mask) if labelled(subset, split, k) else None, float(k))
        for k, (image, mask) in enumerate(files)
        if k not in skipped
    )
    return Clip(
        clip_id=name,
        split=split,
        subset=subset,
        frames=frames,
        sounds=(Sound(str(audio)),),
        seconds=len(files) - 1 + WINDOW,
        source=source,
        classes=classes,
        rows=(row,),
        fault=row.fault,
    )


class AVSBenchObjectDataset(PairedClipsDataset):
    """Binary masks of what sounds; any value above 0 is the object."""

    METAINFO = dict(classes=BINARY_CLASSES, palette=voc_palette(len(BINARY_CLASSES)))
    MASK_ENCODING = "binary"


@DATASETS.register_module()
class AVSBenchS4Dataset(AVSBenchObjectDataset):
    """AVSBench-object, single source. ``data_root`` is the folder ``Single-source``."""

    INDEX = "s4_meta_data.csv"

    def read_clips(self, root: Path) -> list[Clip]:
        return read_s4(root, self.ann_file)

    def pair_clips(self, clips: list[Clip]) -> dict[str, str]:
        return pair_s4(clips)


@DATASETS.register_module()
class AVSBenchMS3Dataset(AVSBenchObjectDataset):
    """AVSBench-object, multiple sources. ``data_root`` is the folder ``Multi-sources``.

    Args:
        semantic_index: AVSBench-semantic's metadata.csv, which alone says what sounds in the
            videos; for off-screen sounds. None: where data/README.md has it.
    """

    INDEX = "ms3_meta_data.csv"

    def __init__(
        self,
        *,
        semantic_index: str | None = None,
        **kwargs: Any,  # to BenchmarkDataset
    ) -> None:
        self.semantic_index = semantic_index
        super().__init__(**kwargs)

    def read_clips(self, root: Path) -> list[Clip]:
        return read_ms3(root, self.ann_file, read_ms3_objects(self._objects_index))

    def pair_clips(self, clips: list[Clip]) -> dict[str, str]:
        return pair_ms3(clips, list(read_ms3_objects(self._objects_index)))

    def known_classes(self, info: dict[str, Any]) -> set[str]:
        if not info["classes"]:
            raise UserError(
                "audio_condition='offscreen': MS3 does not say what sounds in a clip, so no sound "
                "is known to be foreign to it. AVSBench-semantic's metadata.csv does, but "
                f"{self._objects_index} is missing or lacks the video {info['clip_id']}. Put it "
                "there or name it as semantic_index of the data set; else take silence and noise, "
                "or AVSBench-semantic with subsets=('v1m',), which is the same videos."
            )
        return super().known_classes(info)

    @property
    def _objects_index(self) -> Path:
        if self.semantic_index is not None:
            return Path(self.semantic_index)
        folder = Path(self.data_root or ".").absolute()
        return folder.parent.parent / "AVSBench-semantic" / "metadata.csv"


@DATASETS.register_module()
class AVSBenchSemanticDataset(BenchmarkDataset):
    """AVSBench-semantic, 71 classes. ``data_root`` holds ``metadata.csv`` and v1s, v1m, v2.

    Args:
        label_dir: 'labels_semantic' (class indices) or 'labels_rgb' (the same as colours).
        subsets: Parts to take.
    """

    METAINFO = dict(classes=AVSS_CLASSES, palette=voc_palette(len(AVSS_CLASSES)))
    INDEX = "metadata.csv"

    def __init__(
        self,
        *,
        label_dir: str = "labels_semantic",
        subsets: tuple[str, ...] = tuple(NUM_FRAMES),
        **kwargs: Any,  # to BenchmarkDataset
    ) -> None:
        if label_dir not in LABEL_DIRS:
            raise ValueError(f"label_dir={label_dir!r}: use one of {', '.join(LABEL_DIRS)}.")
        if not set(subsets) <= set(NUM_FRAMES):
            raise ValueError(f"subsets={subsets}: they are {', '.join(NUM_FRAMES)}.")
        self.label_dir, self.subsets = label_dir, tuple(subsets)
        self.MASK_ENCODING = LABEL_DIRS[label_dir]
        super().__init__(**kwargs)

    def read_clips(self, root: Path) -> list[Clip]:
        if (root / "label2idx.json").is_file():
            check_label2idx(root / "label2idx.json")
        clips = read_avss(root, self.ann_file, label_dir=self.label_dir)
        return [clip for clip in clips if clip.subset in self.subsets]
