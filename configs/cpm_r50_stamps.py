_base_ = [
    "_base_/iter_runtime.py",
    "_base_/schedules/schedule_stamps.py",
    "_base_/models/cpm_r50.py",
    "_base_/datasets/stamps-ms.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
