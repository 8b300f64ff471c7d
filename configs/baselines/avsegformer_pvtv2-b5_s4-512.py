_base_ = [
    "../_base_/baseline_runtime.py",
    "../_base_/schedules/avsegformer.py",
    "../_base_/models/avsegformer_pvtv2-b5.py",
    "../_base_/datasets/s4-512_clips.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
train_dataloader = dict(batch_size=2)
