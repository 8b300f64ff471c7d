_base_ = "cpm_efflite0-yamnet_real.py"

model = dict(
    backbone=dict(
        arch="lite2", init_cfg=dict(checkpoint="weights/efficientnet-lite2_imagenet.pth")
    ),
    decode_head=dict(in_channels=[24, 48, 120, 352]),
    mask_classifier=dict(
        in_channels=352,
        init_cfg=dict(checkpoint="weights/efficientnet-lite2-classifier_imagenet.pth"),
    ),
)
