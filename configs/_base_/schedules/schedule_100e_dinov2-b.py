"""The paper's schedule for a ViT of 12 layers, which learn the slower the nearer to the picture."""

_base_ = "schedule_100e.py"

# As ViTDet's ViT-B: each layer at 0.7 of the next one's rate, the pyramid behind them at the full.
# mmseg's constructor for such rates knows three backbones, and this is none of them.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={
            **{f"backbone.vit.layers.{i}.": dict(lr_mult=0.7 ** (12 - i)) for i in range(12)},
            "backbone.vit.cls_token": dict(lr_mult=0.7**13, decay_mult=0.0),
            "backbone.vit.pos_embed": dict(lr_mult=0.7**13, decay_mult=0.0),
            "backbone.vit.patch_embed": dict(lr_mult=0.7**13),
            "backbone.vit.ln1": dict(lr_mult=1.0, decay_mult=0.0),
            "backbone.pyramid": dict(lr_mult=1.0),
        }
    ),
)
