# A short schedule for AVS-Stamps and the small model: minutes on two CPU cores.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=6e-4, weight_decay=1e-4, fused=True),
    clip_grad=dict(max_norm=0.1),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1),
            audio_backbone=dict(lr_mult=0.5),
            query_embed=no_decay,
            query_feat=no_decay,
            level_embed=no_decay,
        ),
        norm_decay_mult=0.0,
    ),
)
# A scheduler without an end takes the end of training.
param_scheduler = [
    dict(type="LinearLR", start_factor=0.05, begin=0, end=20, by_epoch=False),
    dict(type="PolyLR", power=0.9, begin=20, by_epoch=False),
]

train_cfg = dict(type="IterBasedTrainLoop", max_iters=1200, val_interval=150)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
