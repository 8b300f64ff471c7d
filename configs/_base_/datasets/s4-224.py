"""AVSBench-object S4 (single source), sounding or not, in the 224 protocol."""

_base_ = "avs_common.py"

num_classes = 2
audio_channels = 1
dataset = dict(type="AVSBenchS4Dataset", data_root="data/AVSBench/AVSBench-object/Single-source")

train_dataloader = dict(
    **_base_.train_loader,
    # Only the first frame of a video for training is labelled.
    dataset=dict(
        **dataset, split="train", frames_per_clip="one", pipeline=_base_.train_pipeline_224
    ),
)
val_dataloader = dict(
    **_base_.test_loader,
    dataset=dict(**dataset, split="val", test_mode=True, pipeline=_base_.test_pipeline_224),
)
test_dataloader = dict(
    **_base_.test_loader,
    dataset=dict(**dataset, split="test", test_mode=True, pipeline=_base_.test_pipeline_224),
)
val_evaluator = dict(type="AVSMetric", protocols=_base_.protocols)
# `F_batch1` is the F of the literature, with a threshold chosen for each video.
test_evaluator = dict(
    type="AVSMetric",
    protocols=_base_.protocols,
    expected_clips=dict(total=740),
    legacy_batch=1,
)
