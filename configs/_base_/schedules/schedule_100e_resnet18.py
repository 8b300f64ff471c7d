"""The paper's schedule for VPO, whose audio backbone has to learn all about sound."""

_base_ = "schedule_100e.py"

# ImageNet's ResNet-18 has never heard anything: it learns at the full rate, as CAVP's.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(audio_backbone=dict(lr_mult=1.0))),
)
