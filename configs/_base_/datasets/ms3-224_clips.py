"""MS3 in whole clips."""

_base_ = "s4-224.py"

dataset = dict(type="AVSBenchMS3Dataset", data_root="data/AVSBench/AVSBench-object/Multi-sources")
clip = dict(_delete_=True, type="ClipDataset")
collate_fn = dict(type="clip_collate")
tested = dict(**dataset, pipeline=_base_.test_pipeline_clips)
train_dataloader = dict(
    batch_size=4,
    collate_fn=collate_fn,
    dataset=dict(
        **clip,
        dataset={
            **_base_.train_dataloader.dataset,
            **dataset,
            "frames_per_clip": "whole",
            "pipeline": _base_.test_pipeline_clips,
        },
    ),
)
val_dataloader = dict(
    collate_fn=collate_fn,
    dataset=dict(**clip, dataset={**_base_.val_dataloader.dataset, **tested}),
)
test_dataloader = dict(
    collate_fn=collate_fn,
    dataset=dict(**clip, dataset={**_base_.test_dataloader.dataset, **tested}),
)
test_evaluator = dict(expected_clips=dict(total=64))
