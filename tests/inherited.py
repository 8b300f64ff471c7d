"""Configs that lie elsewhere and inherit the project's."""

from pathlib import Path

from config_leaves import CONFIGS

#: The project's small model and scenes, made tiny.
TINY = f"""
_base_ = {str(CONFIGS / "cpm_mbv2-yamnet_stamps.py")!r}
model = dict(
    backbone=dict(init_cfg=None), audio_backbone=dict(init_cfg=None),
    decode_head=dict(
        embed_dims=32, num_queries=4, num_audio_layers=1, num_visual_layers=1,
        feedforward_channels=64,
    ),
)
train_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_scenes=8, image_size=64))
val_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_scenes=2, image_size=64))
test_dataloader = dict(batch_size=2, num_workers=0, dataset=dict(num_scenes=2, image_size=64))
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(acp_quality=dict(num_samples=2))
"""


def write(folder: Path, base: str, text: str) -> Path:
    """A config above another, none of them in the repository."""
    (folder / "base.py").write_text(base)
    (folder / "own.py").write_text(f"_base_ = 'base.py'\n{text}\n")
    return folder / "own.py"
