"""The benchmarks' data sets on made trees."""

from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS
from toy_avs import PIPELINE

BASES = Path(__file__).resolve().parents[1] / "configs/_base_/datasets"


def build(kind: type, root: Path, split: str, **kwargs):
    """A data set in test mode, which raises at a bad item."""
    settings = dict(type=kind.__name__, data_root=str(root), split=split, pipeline=PIPELINE)
    return DATASETS.build(settings | dict(test_mode=True) | kwargs)


def keys_of(dataset) -> list[tuple[str, int]]:
    """Clip and frame of each item."""
    infos = map(dataset.get_data_info, range(len(dataset)))
    return [(info["clip_id"], info["frame_index"]) for info in infos]


def load_base(name: str, root: Path) -> Config:
    """The config base of a data set, on a made tree, without workers."""
    config = Config.fromfile(BASES / f"{name}.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        frames = loader.dataset.get("dataset", loader.dataset)
        frames.data_root = str(root)
    return config
