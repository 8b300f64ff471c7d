"""AVS-Stamps, one of three objects sounds: the built-in data, composed while training."""

_base_ = "composed.py"

img_scale = 96
num_classes = 25
audio_channels = 1
dataset = dict(type="StampsDataset", subset="ss", image_size=img_scale)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
