_base_ = [
    "../_base_/baseline_no_val_runtime.py",
    "../_base_/schedules/cavp.py",
    "../_base_/models/cavp_r50_resnet18.py",
    "../_base_/datasets/vpo-ms.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4))
# Without the coverage score: no query names what is heard.
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = [_base_.test_evaluator[0]]
