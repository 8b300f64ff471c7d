# The paper's model for VPO: the sound, stereo and 3 s long, goes through a ResNet-18.
_base_ = "./cpm_r50.py"

model = dict(
    audio_backbone=dict(
        _delete_=True,
        type="AudioResNet",
        depth=18,
        init_cfg=dict(type="Pretrained", checkpoint="weights/resnet18_imagenet.pth"),
    ),
)
# Its batch norms learn the statistics of sounds: from all GPUs, since one has two clips.
sync_bn = "torch"
