"""A short schedule for AVS-Stamps and the small model: minutes on two CPU cores."""

_base_ = "adamw.py"

optim_wrapper = dict(
    optimizer=dict(lr=6e-4),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.1), audio_backbone=dict(lr_mult=0.5))
    ),
)
# A scheduler without an end takes the end of training.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type="CosineAfterWarmupLR", begin=20, by_epoch=False),
]

train_cfg = dict(type="IterBasedTrainLoop", max_iters=600, val_interval=150)
