"""Stage 1 of Stepping Stones (docs/beyond-the-paper.md): where does anything sound? One class."""

_base_ = "cpm_mbv2-yamnet_stamps.py"

model = dict(decode_head=dict(num_classes=2))
train_dataloader = dict(
    dataset=dict(_delete_=True, type="SoundingDataset", dataset=_base_.train_dataloader.dataset)
)
val_dataloader = dict(
    dataset=dict(_delete_=True, type="SoundingDataset", dataset=_base_.val_dataloader.dataset)
)
test_dataloader = dict(
    dataset=dict(_delete_=True, type="SoundingDataset", dataset=_base_.test_dataloader.dataset)
)
# There are no classes to cover.
val_evaluator = [_base_.val_evaluator[0]]
test_evaluator = [_base_.test_evaluator[0]]
