# PANNs' Cnn14 in place of VGGish.
_base_ = "cpm_r50_avss.py"

model = dict(
    audio_backbone=dict(
        _delete_=True,
        type="Cnn14",
        in_channels=_base_.audio_channels,
        norm_eval=True,
        init_cfg=dict(type="Pretrained", checkpoint="weights/cnn14_audioset.pth"),
    )
)
