_base_ = [
    "_base_/iter_runtime.py",
    "_base_/schedules/schedule_stamps.py",
    "_base_/models/cpm_efflite0-yamnet.py",
    "_base_/datasets/real.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
train_cfg = dict(max_iters=6000, val_interval=500)
default_hooks = dict(checkpoint=dict(interval=500))
