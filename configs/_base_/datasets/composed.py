"""What all sets of composed scenes share; ``dataset`` says which set it is."""

test_pipeline = [dict(type="ComposeScene"), dict(type="PackAVSInputs")]

# 9,600 scenes: 600 iterations of 16 without seeing one twice. Scenes are mirrored, lit and
# scaled at random as they are composed.
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteDrawSampler"),
    dataset=dict(split="train", num_scenes=9600, pipeline=test_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="val", num_scenes=500, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(split="test", num_scenes=500, test_mode=True, pipeline=test_pipeline),
)
val_evaluator = [
    dict(type="AVSMetric", protocols=["dataset", "avsbench"]),
    dict(type="CoverageMetric"),
]
test_evaluator = val_evaluator
