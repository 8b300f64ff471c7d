_base_ = [
    "../_base_/baseline_runtime.py",
    "../_base_/schedules/cavp.py",
    "../_base_/models/cavp_r50.py",
    "../_base_/datasets/ms3-224.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline_224_cavp))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224_cavp))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224_cavp))
train_cfg = dict(max_epochs=60)
