"""AVSBench-semantic (v1s, v1m, v2), 71 classes, at the frames' own size."""

_base_ = "avs_common.py"

num_classes = 71
audio_channels = 1
dataset = dict(type="AVSBenchSemanticDataset", data_root="data/AVSBench/AVSBench-semantic")

train_dataloader = dict(
    **_base_.train_loader,
    # An epoch is one random labelled frame of every video, as CAVP's; 'all' is 6.2 times as long.
    dataset=dict(**dataset, split="train", frames_per_clip="one", pipeline=_base_.train_pipeline),
)
val_dataloader = dict(
    **_base_.test_loader,
    dataset=dict(**dataset, split="val", test_mode=True, pipeline=_base_.test_pipeline),
)
test_dataloader = dict(
    **_base_.test_loader,
    dataset=dict(**dataset, split="test", test_mode=True, pipeline=_base_.test_pipeline),
)
val_evaluator = [
    dict(type="AVSMetric", protocols=_base_.protocols),
    dict(type="CoverageMetric"),
]
test_evaluator = [
    dict(
        type="AVSMetric",
        protocols=_base_.protocols,
        expected_clips=dict(total=1554, ss=1278, ms=276),
    ),
    dict(type="CoverageMetric"),
]
