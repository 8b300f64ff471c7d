# The start of the visual part (docs/real.md): all that can be seen is labelled, whatever sounds.
_base_ = "cpm_efflite0-yamnet_real.py"

model = dict(
    decode_head=dict(classifier=dict(_delete_=True, type="LinearClassifier")),
    criterion=dict(mixture=None, prompting=None),
    least_heard=0.0,  # what is seen counts, whatever sounds
    no_object_odds=1.0,
    mask_classifier=None,
)
test_pipeline = [dict(type="ComposeScene"), dict(type="LabelVisible"), dict(type="PackAVSInputs")]
train_pipeline = [
    *test_pipeline[:2],
    dict(type="DegradePicture"),
    dict(type="PhotoMetricDistortion"),
    dict(type="DegradeSound"),
    dict(type="PackAVSInputs"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
train_cfg = dict(max_iters=3000, val_interval=500)
