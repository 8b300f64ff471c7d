"""Photographs and recordings that test scenes do not share (docs/real.md): one of three sounds."""

_base_ = "composed.py"

img_scale = 160
num_classes = 18
audio_channels = 1
dataset = dict(
    type="ComposedDataset",
    data_root="data/real",
    subset="ss",
    image_size=img_scale,
    plain_prob=0.25,
)
# A video's picture and sound are worse than these are.
train_pipeline = [
    dict(type="ComposeScene"),
    dict(type="DegradePicture"),
    dict(type="PhotoMetricDistortion"),
    dict(type="DegradeSound"),
    dict(type="PackAVSInputs"),
]
train_dataloader = dict(dataset=dict(**dataset, num_scenes=96000, pipeline=train_pipeline))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
