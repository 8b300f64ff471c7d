"""The paper's schedule (appendix A): AdamW 1e-4, poly 0.9, batch 16, 100 epochs."""

# Norms, learnt embeddings and the temperature are not decayed, and gradients are clipped, as in
# Mask2Former; the paper names neither.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="AdamW", lr=1e-4, weight_decay=1e-4, betas=(0.9, 0.999), eps=1e-8),
    clip_grad=dict(max_norm=0.01, norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "query_embed": no_decay,
            "query_feat": no_decay,
            "level_embed": no_decay,
            "level_encoding": no_decay,
            "prompt_embed": no_decay,
            "prompter.points": no_decay,
            "log_temperature": no_decay,
        },
        norm_decay_mult=0.0,
    ),
)
# It ends with training.
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=5)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# 8 GPUs x 2 samples. `--cfg-options auto_scale_lr.enable=True` scales lr with another batch size.
auto_scale_lr = dict(enable=False, base_batch_size=16)
