# TPAVI with the backbones and the width of `cpm_mbv2-yamnet.py`, to compare the methods alone.
_base_ = "./cpm_mbv2-yamnet.py"

model = dict(
    type="ClipSegmentor",
    decode_head=dict(
        _delete_=True,
        type="TPAVIHead",
        in_channels=[24, 32, 96, 320],
        audio_channels=512,
        embed_dims=128,
        # A scene is one frame: those of a video are not to see one another, either.
        clip_length=1,
    ),
    criterion=dict(_delete_=True, type="TPAVICriterion"),
)
