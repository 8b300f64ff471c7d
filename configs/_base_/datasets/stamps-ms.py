"""AVS-Stamps, two or three of six objects sound."""

_base_ = "stamps.py"

dataset = dict(subset="ms")
train_dataloader = dict(dataset=dataset)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
