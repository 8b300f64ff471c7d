# PVTv2-B5 in place of a model's image backbone: `backbone=_base_.pvtv2_b5`.
pvtv2_b5 = dict(
    _delete_=True,
    type="mmdet.PyramidVisionTransformerV2",
    embed_dims=64,
    num_layers=[3, 6, 40, 3],
    mlp_ratios=(4, 4, 4, 4),
    init_cfg=dict(type="Pretrained", checkpoint="weights/pvtv2-b5_imagenet.pth"),
)
