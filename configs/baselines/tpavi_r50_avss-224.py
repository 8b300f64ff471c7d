_base_ = [
    "../_base_/baseline_runtime.py",
    "../_base_/schedules/tpavi.py",
    "../_base_/models/tpavi_r50.py",
    "../_base_/datasets/avss-224_clips.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes, sound_bias=False),
)
train_cfg = dict(max_epochs=60, val_begin=15, val_interval=2)
