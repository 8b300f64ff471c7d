# HTS-AT in place of VGGish.
_base_ = "cpm_r50_avss.py"

model = dict(
    audio_backbone=dict(
        _delete_=True,
        type="HTSAT",
        in_channels=_base_.audio_channels,
        init_cfg=dict(type="Pretrained", checkpoint="weights/htsat_audioset.pth"),
    )
)
