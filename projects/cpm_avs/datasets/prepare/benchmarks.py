"""What the checker has to know of each benchmark: its readers, masks, names and sizes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..benchmarks import avsbench, vpo
from ..benchmarks.class_names import (
    AVSS_CLASSES,
    COCO_LABEL_MAP,
    S4_CATEGORIES,
    VPO_CLASSES,
)
from ..benchmarks.clip_index import Clip, Column
from ..palette import voc_palette


@dataclass(frozen=True)
class MaskRules:
    """How mask files carry classes, see ``decode_mask``."""

    encoding: str
    num_classes: int
    palette: Sequence[Sequence[int]] = ()
    label_map: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Benchmark:
    """One benchmark in one layout.

    Attributes:
        index: Index file below the root.
        read: (root, index file) -> clips of all splits.
        columns: Columns of the index.
        key: Columns whose values together may occur only once.
        masks: How mask files carry classes.
        clips: Published number of clips (VPO: images) per split.
        names: Names that may stand in the index; empty where they aren't checked.
        sources: Published number of test clips per source.
    """

    index: str
    read: Callable[[Path, Path], list[Clip]]
    columns: Mapping[str, Column]
    key: tuple[str, ...]
    masks: MaskRules
    clips: Mapping[str, int]
    names: frozenset[str] = frozenset()
    sources: Mapping[str, int] = field(default_factory=dict)


# Published numbers. S4, MS3 and AVSS are those of the AVSBench papers, from memory except where a
# public script states them (S4); their sums agree with each other (3452 + 296 + 4750 = 8498 and so
# on). VPO's are from memory of the CAVP paper and nothing was found to confirm them.
_S4 = Benchmark(
    index=avsbench.AVSBenchS4Dataset.INDEX,
    read=avsbench.read_s4,
    columns=avsbench.S4_COLUMNS,
    key=("name",),
    masks=MaskRules("binary", 2),
    clips=dict(train=3452, val=740, test=740),
    names=frozenset(S4_CATEGORIES),
)
_MS3 = Benchmark(
    index=avsbench.AVSBenchMS3Dataset.INDEX,
    read=avsbench.read_ms3,
    columns=avsbench.MS3_COLUMNS,
    key=("name",),
    masks=MaskRules("binary", 2),
    clips=dict(train=296, val=64, test=64),
)
_AVSS = Benchmark(
    index=avsbench.AVSBenchSemanticDataset.INDEX,
    read=avsbench.read_avss,
    columns=avsbench.AVSS_COLUMNS,
    key=("subset", "uid"),
    masks=MaskRules("index", len(AVSS_CLASSES), voc_palette(len(AVSS_CLASSES))),
    clips=dict(train=8498, val=1304, test=1554),
    names=frozenset(AVSS_CLASSES[1:]),
    sources=avsbench.TEST_SOURCES,
)
_VPO_CLIPS = {
    "vpo-ss": dict(train=11312, test=890),
    "vpo-ms": dict(train=8380, test=1437),
    "vpo-msmi": dict(train=11080, test=1775),
}
NAMES = ("s4", "ms3", "avss", *_VPO_CLIPS)


def benchmark(name: str, ann_file: Path | None = None, label_dir: str = "") -> Benchmark:
    """A benchmark by its name on the command line.

    Args:
        name: One of ``NAMES``.
        ann_file: The index, which tells the layout of VPO; None: the published layout.
        label_dir: Folder of the masks of AVSBench-semantic; empty: the usual one.
    """
    if name == "avss" and label_dir:
        encoding = avsbench.LABEL_DIRS[label_dir]
        read = partial(avsbench.read_avss, label_dir=label_dir)
        return replace(_AVSS, read=read, masks=replace(_AVSS.masks, encoding=encoding))
    if name in _VPO_CLIPS:
        return _vpo(name, ann_file is None or vpo.is_authors_layout(ann_file))
    return dict(s4=_S4, ms3=_MS3, avss=_AVSS)[name]


def _vpo(name: str, authors_layout: bool) -> Benchmark:
    common: dict[str, Any] = dict(
        index=vpo.index_path(name),
        read=partial(vpo.read_vpo, subset=name),
        clips=_VPO_CLIPS[name],
    )
    if authors_layout:
        return Benchmark(
            columns=vpo.MSMI_COLUMNS if name == "vpo-msmi" else vpo.COLUMNS,
            key=("image", "object", "audio"),
            masks=MaskRules("index", len(VPO_CLASSES), label_map=COCO_LABEL_MAP),
            names=frozenset(VPO_CLASSES[1:]),
            **common,
        )
    return Benchmark(
        columns=vpo.MIXED_COLUMNS,
        key=("uid", "frame", "subset"),
        masks=MaskRules("index", len(VPO_CLASSES)),
        **common,
    )
