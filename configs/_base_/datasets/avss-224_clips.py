"""AVSBench-semantic in whole clips, in the 224 protocol."""

_base_ = "avss.py"

clip = dict(_delete_=True, type="ClipDataset")
collate_fn = dict(type="clip_collate")
tested = dict(pipeline=_base_.test_pipeline_clips)
train_dataloader = dict(
    batch_size=4,
    collate_fn=collate_fn,
    dataset=dict(
        **clip,
        dataset={
            **_base_.train_dataloader.dataset,
            "frames_per_clip": "whole",
            "pipeline": _base_.train_pipeline_clips,
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
# Without the coverage score: no query names what is heard.
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = [_base_.test_evaluator[0]]
