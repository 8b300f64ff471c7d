_base_ = [
    "_base_/default_runtime.py",
    "_base_/schedules/schedule_100e.py",
    "_base_/models/cpm_pvtv2-b5.py",
    "_base_/datasets/avss-224.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
