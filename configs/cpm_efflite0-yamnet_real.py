# EfficientNet-Lite0 in place of MobileNetV2, whose ImageNet classifier has a say in names, too.
_base_ = ["cpm_mbv2-yamnet_real.py", "_base_/imagenet_real.py"]

model = dict(
    data_preprocessor=dict(mean=[127.0] * 3, std=[128.0] * 3),
    backbone=dict(
        _delete_=True,
        type="EfficientNetLite",
        arch="lite0",
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="weights/efficientnet-lite0_imagenet.pth"),
    ),
    decode_head=dict(in_channels=[24, 40, 112, 320]),
    mask_classifier=dict(
        type="MaskPooledClassifier",
        in_channels=320,
        source_classes=_base_.imagenet_classes,
        init_cfg=dict(
            type="Pretrained", checkpoint="weights/efficientnet-lite0-classifier_imagenet.pth"
        ),
    ),
    no_object_odds=6.0,  # chosen on validation scenes (docs/real.md)
)
