"""VPO-SS, 22 classes, stereo, at the images' own size. VPO has no set for validation."""

_base_ = "avs_common.py"

num_classes = 22
audio_channels = _base_.load_mix.channels
dataset = dict(type="VPODataset", subset="vpo-ss", data_root="data/VPO")

train_dataloader = dict(
    **_base_.train_loader,
    dataset=dict(**dataset, split="train", pipeline=_base_.train_pipeline_mix),
)
test_dataloader = dict(
    **_base_.test_loader,
    dataset=dict(**dataset, split="test", test_mode=True, pipeline=_base_.test_pipeline_mix),
)
val_dataloader = test_dataloader
test_evaluator = [
    dict(type="AVSMetric", protocols=_base_.protocols),
    dict(type="CoverageMetric"),
]
val_evaluator = test_evaluator
