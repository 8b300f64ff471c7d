"""The paper's schedule (appendix A): AdamW 1e-4, poly 0.9, batch 16, 100 epochs."""

_base_ = "adamw.py"

# Pretrained backbones learn at a tenth of the rate: the image backbone as in Mask2Former, and
# VGGish, which the peers freeze, but which hears 256 linear bins here instead of 64 mel bands.
# Where one starts from random weights, set its lr_mult to 1.
optim_wrapper = dict(
    optimizer=dict(lr=1e-4),
    clip_grad=dict(max_norm=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(backbone=dict(lr_mult=0.1), audio_backbone=dict(lr_mult=0.1))
    ),
)
# The two multiply: the paper's curve, and a warm-up until the mixtures begin to move
# (`EMUpdateHook`). It ends with training.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.01, begin=0, end=500, by_epoch=False),
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=5)
