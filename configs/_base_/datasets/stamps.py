"""AVS-Stamps, one of three objects sounds: the built-in data, composed while training."""

img_scale = 96
num_classes = 25
audio_channels = 1
dataset = dict(type="StampsDataset", subset="ss", image_size=img_scale)
test_pipeline = [dict(type="ComposeScene"), dict(type="PackAVSInputs")]

# 9,600 scenes: 600 iterations of 16 without seeing one twice. Scenes are mirrored, lit and
# scaled at random as they are composed; more augmentation adds nothing.
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="InfiniteDrawSampler"),
    dataset=dict(**dataset, split="train", num_scenes=9600, pipeline=test_pipeline),
)
val_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="val", num_scenes=500, test_mode=True, pipeline=test_pipeline),
)
test_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(**dataset, split="test", num_scenes=500, test_mode=True, pipeline=test_pipeline),
)
val_evaluator = [
    dict(type="AVSMetric", protocols=["dataset", "avsbench"]),
    dict(type="CoverageMetric"),
]
test_evaluator = val_evaluator
