_base_ = [
    "_base_/iter_runtime.py",
    "_base_/schedules/schedule_stamps.py",
    "_base_/models/cpm_mbv2-yamnet.py",
    "_base_/datasets/stamps-msmi.py",
]

model = dict(
    # AudioSet is mono: layers that stay as they were hear no difference between the channels.
    audio_backbone=dict(in_channels=_base_.audio_channels, frozen_stages=-1),
    decode_head=dict(num_classes=_base_.num_classes),
)
