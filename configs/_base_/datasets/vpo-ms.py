"""VPO-MS, 22 classes, stereo, at the images' own size."""

_base_ = "vpo-ss.py"

dataset = dict(subset="vpo-ms")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
