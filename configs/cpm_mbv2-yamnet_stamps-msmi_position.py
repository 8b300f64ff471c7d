_base_ = [
    "_base_/iter_runtime.py",
    "_base_/schedules/schedule_stamps.py",
    "_base_/models/cpm_mbv2-yamnet.py",
    "_base_/datasets/stamps-msmi.py",
]

# What sounds is heard in the mean of the channels, as AudioSet has it; where, in their ratio.
model = dict(
    decode_head=dict(num_classes=_base_.num_classes, stereo_position=dict(type="StereoPosition")),
)
