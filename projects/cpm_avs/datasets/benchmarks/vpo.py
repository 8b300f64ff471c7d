"""VPO-SS, -MS and -MSMI: COCO images with VGGSound clips of the same classes, mono or stereo.

Two layouts are around. The authors' has one row per (image, object, sound), below
``VPO/VPO-SS/`` and so on, and the sounds below ``vggsound_bench/``. The other, of DDESeg, has one
folder per image, ``<uid>/{frames,labels_semantic}`` with the sounds mixed already. The header of
the index tells which it is.
"""

from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

from mmseg.registry import DATASETS

from ..palette import voc_palette
from .benchmark_dataset import BenchmarkDataset
from .class_names import COCO_LABEL_MAP, VPO_CLASSES
from .clip_index import Clip, Column, Frame, Row, Sound, has_column, read_table

#: Seconds of sound that an image hears: 300 spectrogram frames.
WINDOW = 3.0
#: Folder of each subset.
FOLDERS = {"vpo-ss": "VPO-SS", "vpo-ms": "VPO-MS", "vpo-msmi": "VPO-MSMI"}
AUDIO_DIR = Path("vggsound_bench", "VGGSound", "audios")

COLUMNS = {
    "image": Column(("img_Id",), in_paths=True),
    "object": Column(("ann_Ids",), in_paths=True),
    "classes": Column(("cateName",), in_paths=True),
    "audio": Column(("vgg_file",), in_paths=True),
    "split": Column(("split",)),
    "position": Column(("audio_pos",)),
}
MSMI_COLUMNS = COLUMNS | {"multi_instance": Column(("multi_instance",))}
MIXED_COLUMNS = {
    "uid": Column(("uid",), 0, in_paths=True),
    "frame": Column(("frame", "frame_path"), 1, in_paths=True),
    "mask": Column(("mask", "mask_path"), 2, in_paths=True),
    "split": Column(("split",)),
    "subset": Column(("type",)),
}


def index_path(subset: str) -> str:
    """Index of the authors' layout, below the root."""
    return f"VPO/{FOLDERS[subset]}/{subset.replace('-', '_')}_data_stereo.csv"


def is_authors_layout(ann_file: str | Path) -> bool:
    """Whether an index has the authors' columns."""
    return has_column(ann_file, COLUMNS["image"])


def read_vpo(root: Path, ann_file: str | Path, subset: str) -> list[Clip]:
    """Images of a subset, in either layout.

    Where the rows of an image disagree (``Clip.fault``) the first one counts.
    """
    if not is_authors_layout(ann_file):
        return _read_mixed(root, ann_file, subset)
    columns = MSMI_COLUMNS if subset == "vpo-msmi" else COLUMNS
    rows = read_table(ann_file, columns).rows
    if subset == "vpo-ss":  # one item per object, elsewhere the objects of an image sound together
        ids = [f"{row.values['image'].zfill(12)}_{row.values['object'].zfill(12)}" for row in rows]
        return [_image(root, subset, name, [row]) for name, row in zip(ids, rows, strict=True)]
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.values["image"].zfill(12)].append(row)
    return [_image(root, subset, name, of_image) for name, of_image in groups.items()]


def _image(root: Path, subset: str, name: str, rows: list[Row]) -> Clip:
    first = rows[0].values
    image = first["image"].zfill(12)
    folder = root / "VPO" / FOLDERS["vpo-ms" if _is_single_instance(rows[0]) else subset]
    below = first["classes"] if subset == "vpo-ss" else ""
    return Clip(
        clip_id=name,
        split=_split(first["split"]),
        subset=subset,
        frames=(
            Frame(
                0,
                str(folder / "data" / below / f"{image}.jpg"),
                str(folder / "mask" / below / f"{name}.png"),
            ),
        ),
        sounds=tuple(
            Sound(
                str(root / AUDIO_DIR / f"{row.values['audio']}.wav"),
                _position(row),
                classes=_classes(row),
            )
            for row in rows
        ),
        seconds=WINDOW,
        classes=tuple(name for row in rows for name in _classes(row)),
        rows=tuple(rows),
        fault=_fault(rows),
    )


def _fault(rows: list[Row]) -> str:
    """What the rows of one image disagree about, or which name or place of a sound is none."""
    if faults := [row.fault for row in rows if row.fault]:
        return faults[0]
    if len({_split(row.values["split"]) for row in rows}) > 1:
        return "the rows of the image are of several splits"
    if len({_is_single_instance(row) for row in rows}) > 1:
        return "the rows of the image differ in multi_instance"
    for row in rows:
        if not 0 <= _position(row) <= 1:
            text = row.values["position"]
            return f"audio_pos={text!r} in line {row.line} is no number from 0 (left) to 1 (right)"
    return ""


def _classes(row: Row) -> tuple[str, ...]:
    return tuple(name.strip() for name in row.values["classes"].split(","))


def _is_single_instance(row: Row) -> bool:
    return row.values.get("multi_instance") in ("0", "0.0", "False")


def _position(row: Row) -> float:
    """Place of the sound; NaN if the cell is no number, which matters only to stereo sound."""
    try:
        return float(row.values["position"])
    except ValueError:
        return float("nan")


def _split(name: str) -> str:
    """Evaluation uses all that is not for training, as the authors do."""
    return "test" if name == "val" else name


def _read_mixed(root: Path, ann_file: str | Path, subset: str) -> list[Clip]:
    return [
        Clip(
            clip_id=f"{row.values['uid']}/{Path(row.values['frame']).stem}",
            split=_split(row.values["split"]),
            subset=subset,
            frames=(
                Frame(
                    0,
                    str(root / row.values["uid"] / "frames" / row.values["frame"]),
                    str(root / row.values["uid"] / "labels_semantic" / row.values["mask"]),
                ),
            ),
            sounds=(
                Sound(
                    str(root / row.values["uid"] / "mono_audio.wav"),
                    stereo_path=str(root / row.values["uid"] / "stereo_audio.wav"),
                ),
            ),
            seconds=WINDOW,
            rows=(row,),
            fault=row.fault,
        )
        for row in read_table(ann_file, MIXED_COLUMNS).rows
        if row.values["subset"].lower() == subset
    ]


@DATASETS.register_module()
class VPODataset(BenchmarkDataset):
    """One subset of VPO, 22 classes; its pipeline loads sound with ``LoadSoundMix``.

    Args:
        subset: 'vpo-ss', 'vpo-ms' or 'vpo-msmi'.
        ann_file: Index, from ``data_root``; the authors' by default. The masks of the authors'
            layout hold COCO category ids, those of the other layout class indices.
    """

    METAINFO = dict(classes=VPO_CLASSES, palette=voc_palette(len(VPO_CLASSES)))
    AUDIO_KEYS = ("audio_path", "audio_start", "sounds")

    def __init__(
        self,
        *,
        subset: str,
        ann_file: str = "",
        **kwargs: Any,  # to BenchmarkDataset
    ) -> None:
        if subset not in FOLDERS:
            raise ValueError(f"subset={subset!r}: use one of {', '.join(FOLDERS)}.")
        self.subset = subset
        super().__init__(ann_file=ann_file or index_path(subset), **kwargs)

    def read_clips(self, root: Path) -> list[Clip]:
        if is_authors_layout(self.ann_file):
            chosen = self.get_label_map(self._metainfo["classes"]) or {}  # metainfo.classes
            self.label_map = {
                value: chosen.get(index, index) for value, index in COCO_LABEL_MAP.items()
            }
        return read_vpo(root, self.ann_file, self.subset)

    def visible_classes(self, info: dict[str, Any]) -> set[str]:
        """The objects of all items of the picture: in VPO-SS each is an item of its own."""
        items = map(self.get_data_info, self._items_of_picture[_picture(info)])
        return set().union(*map(self.known_classes, items))

    @cached_property
    def _items_of_picture(self) -> dict[str, list[int]]:
        items: dict[str, list[int]] = defaultdict(list)
        for idx in range(len(self)):
            items[_picture(self.get_data_info(idx))].append(idx)
        return items


def _picture(info: dict[str, Any]) -> str:
    """Its COCO id, in both layouts the name of the file."""
    return Path(info["img_path"]).stem
