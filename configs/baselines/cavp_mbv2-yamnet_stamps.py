_base_ = [
    "../_base_/baseline_iter_runtime.py",
    "../_base_/schedules/cavp_stamps.py",
    "../_base_/models/cavp_mbv2-yamnet.py",
    "../_base_/datasets/stamps-ms.py",
]

model = dict(
    audio_backbone=dict(in_channels=_base_.audio_channels),
    decode_head=dict(num_classes=_base_.num_classes),
)
# Without the coverage score: no query names what is heard.
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = [_base_.test_evaluator[0]]
