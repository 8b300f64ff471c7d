"""MS3 in whole clips."""

_base_ = "s4-224_clips.py"

dataset = dict(type="AVSBenchMS3Dataset", data_root="data/AVSBench/AVSBench-object/Multi-sources")
train_dataloader = dict(dataset=dict(dataset=dataset))
val_dataloader = dict(dataset=dict(dataset=dataset))
test_dataloader = dict(dataset=dict(dataset=dataset))
test_evaluator = dict(expected_clips=dict(total=64))
