_base_ = [
    "_base_/no_val_runtime.py",
    "_base_/schedules/schedule_100e_resnet18.py",
    "_base_/models/cpm_r50_resnet18.py",
    "_base_/datasets/vpo-ss.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
