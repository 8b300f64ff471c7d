# The built-in model of single scenes, trained on for a little while on clips: its queries look back
# over the last 8 frames.
_base_ = [
    "_base_/iter_runtime.py",
    "_base_/schedules/schedule_stamps.py",
    "_base_/models/cpm_mbv2-yamnet.py",
    "_base_/datasets/stamps-ms_clips.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes, time=dict(type="ClipAttention", window=8)),
)
load_from = "data/checkpoints/cpm_mbv2-yamnet_stamps-394c6a35.pth"
optim_wrapper = dict(optimizer=dict(lr=3e-4))
train_cfg = dict(max_iters=300)
