_base_ = [
    "../_base_/baseline_runtime.py",
    "../_base_/schedules/cavp.py",
    "../_base_/models/cavp_r50.py",
    "../_base_/datasets/avss-224.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
    # A batch of sounds a class: half of the wrong sounds of one class are put right from it.
    criterion=dict(bank_size=16),
)
train_dataloader = dict(dataset=dict(pipeline=_base_.train_pipeline_224_cavp))
val_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224_cavp))
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline_224_cavp))
# Without the coverage score: no query names what is heard.
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = [_base_.test_evaluator[0]]
