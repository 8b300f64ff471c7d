"""AVS-Stamps `ms` in clips: objects move, and take turns to sound; 8 frames at 12 a second."""

_base_ = "stamps-ms.py"

clip = dict(_delete_=True, type="ClipDataset")
collate_fn = dict(type="clip_collate")
frames = dict(type="StampsClipFrames", num_frames=8, fps=12)
# A batch size counts clips: 16 frames in training, as of single scenes.
train_dataloader = dict(
    batch_size=2,
    collate_fn=collate_fn,
    dataset=dict(**clip, dataset={**_base_.train_dataloader.dataset, **frames, "num_scenes": 1200}),
)
val_dataloader = dict(
    batch_size=2,
    collate_fn=collate_fn,
    dataset=dict(**clip, dataset={**_base_.val_dataloader.dataset, **frames, "num_scenes": 60}),
)
test_dataloader = dict(
    batch_size=2,
    collate_fn=collate_fn,
    dataset=dict(**clip, dataset={**_base_.test_dataloader.dataset, **frames, "num_scenes": 60}),
)
