# The paper's model with DINOv2's ViT-B/14 and a pyramid from its last map for ResNet-50.
_base_ = "./cpm_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="DINOv2",
        arch="base",
        init_cfg=dict(type="Pretrained", checkpoint="weights/dinov2-b_lvd142m.pth"),
    ),
    decode_head=dict(in_channels=[768, 768, 768, 768]),
)
