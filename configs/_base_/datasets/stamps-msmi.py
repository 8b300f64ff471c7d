"""AVS-Stamps, one of two instances of a class sounds: stereo tells which."""

_base_ = "stamps.py"

audio_channels = 2
dataset = dict(subset="msmi", num_channels=2)
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
