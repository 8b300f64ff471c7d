"""AVSBench-object MS3 (multiple sources), sounding or not, in the 224 protocol."""

_base_ = "s4-224.py"

dataset = dict(type="AVSBenchMS3Dataset", data_root="data/AVSBench/AVSBench-object/Multi-sources")
# Every labelled frame, as CAVP has it here: of 296 videos an epoch would be 19 iterations.
train_dataloader = dict(dataset=dict(**dataset, frames_per_clip="all"))
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
test_evaluator = dict(expected_clips=dict(total=64))
