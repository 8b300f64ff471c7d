# The paper's model with PVTv2-B5 for ResNet-50.
_base_ = "./cpm_r50.py"

model = dict(
    backbone=dict(
        _delete_=True,
        type="mmdet.PyramidVisionTransformerV2",
        embed_dims=64,
        num_layers=[3, 6, 40, 3],
        mlp_ratios=(4, 4, 4, 4),
        init_cfg=dict(type="Pretrained", checkpoint="weights/pvtv2-b5_imagenet.pth"),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
)
