# AdamW as in Mask2Former: norms and learnt embeddings are not decayed, and gradients are clipped;
# the paper names neither. Rate and clipping come with the schedule, which also has a rule for each
# backbone; that holds for the backbone's norms too, so that these decay where they train.
no_decay = dict(decay_mult=0.0)
optim_wrapper = dict(
    type="OptimWrapper",
    constructor="MergedGroupsConstructor",
    optimizer=dict(type="AdamW", weight_decay=1e-4, betas=(0.9, 0.999), eps=1e-8, fused=True),
    clip_grad=dict(norm_type=2),
    paramwise_cfg=dict(
        custom_keys={
            "query_embed": no_decay,
            "query_feat": no_decay,
            "level_embed": no_decay,
            "level_encoding": no_decay,
            "prompt_embed": no_decay,
            "prompter.points": no_decay,
            "log_scale": no_decay,
            "silence_embed": no_decay,
        },
        norm_decay_mult=0.0,
    ),
)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")

# 8 GPUs x 2 samples. `--cfg-options auto_scale_lr.enable=True` scales lr with another batch size.
auto_scale_lr = dict(enable=False, base_batch_size=16)
