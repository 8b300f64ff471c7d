"""Photographs and recordings that test scenes do not share (docs/real.md): one of three sounds."""

_base_ = "composed.py"

img_scale = 192
num_classes = 18
audio_channels = 1
dataset = dict(
    type="ComposedDataset",
    data_root="data/real",
    subset="ss",
    image_size=img_scale,
    plain_prob=0.25,
)
# A video's picture and sound are worse than these are.
train_pipeline = [
    dict(type="ComposeScene"),
    dict(type="DegradePicture"),
    # The photographs show few breeds: without it, what is white is a dog, and what is orange a cat.
    dict(type="RandomGrayscale", prob=0.3, keep_channels=True),
    dict(type="PhotoMetricDistortion"),
    dict(type="DegradeSound"),
    dict(type="PackAVSInputs"),
]
# Files that are nearly the same as one of val or test (docs/real.md).
duplicates = [
    *(f"photos/{name}.jpg" for name in ("bicycle_010", "cat_036", "dog_026", "horse_004")),
    "photos/train_001.jpg",
    *(f"sounds/{name}.ogg" for name in ("car_014", "car_042", "cat_004", "cat_034", "cow_014")),
    *(f"sounds/{name}.ogg" for name in ("cow_020", "cow_035", "cow_036", "elephant_005")),
    *(f"sounds/{name}.ogg" for name in ("guitar_000", "helicopter_011", "horse_001", "horse_003")),
    *(f"sounds/{name}.ogg" for name in ("horse_020", "piano_011", "sheep_010", "sheep_035")),
    *(f"sounds/{name}.ogg" for name in ("sheep_042", "sheep_044", "sheep_045")),
]
# More of foreign sounds and of silence than at test.
train_dataloader = dict(
    dataset=dict(
        **dataset | dict(plain_prob=0.35),
        silent_prob=0.25,
        offscreen_prob=0.5,
        leave_out=duplicates,
        num_scenes=96000,
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
