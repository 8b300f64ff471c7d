"""AVSBench-semantic, 71 classes, in the 224 protocol."""

_base_ = "avss.py"

train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline_224))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224))
