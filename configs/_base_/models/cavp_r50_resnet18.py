# CAVP for VPO: maps stay at stride 8, and the sound, stereo and 3 s long, goes through a ResNet-18.
_base_ = "./cavp_r50.py"

model = dict(
    backbone=dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 2)),
    audio_backbone=dict(
        _delete_=True,
        type="CAVPResNet18",
        init_cfg=dict(type="Pretrained", checkpoint="weights/resnet18_imagenet.pth"),
    ),
)
