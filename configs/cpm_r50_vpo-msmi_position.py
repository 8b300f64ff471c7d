_base_ = "./cpm_r50_vpo-msmi.py"

# What sounds is heard in the mean of the channels; where, in their ratio.
model = dict(
    audio_backbone=dict(in_channels=1),
    decode_head=dict(stereo_position=dict(type="StereoPosition")),
)
