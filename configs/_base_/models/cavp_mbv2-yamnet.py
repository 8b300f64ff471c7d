# CAVP with the backbones and the width of `cpm_mbv2-yamnet.py`, to compare the methods alone.
_base_ = "./cpm_mbv2-yamnet.py"

model = dict(
    type="DenseSegmentor",
    # The last maps stay at stride 16, as CAVP's.
    backbone=dict(strides=(1, 2, 2, 2, 1, 1, 1), dilations=(1, 1, 1, 1, 1, 2, 2)),
    audio_backbone=dict(type="CAVPYAMNet", embed_dims=128),
    decode_head=dict(
        _delete_=True,
        type="CAVPHead",
        in_channels=[24, 32, 96, 320],
        embed_dims=128,
        low_level_channels=24,
        feedforward_channels=128,
    ),
    # 512 of the 128 x 128 cells of a crop of 512 are 18 of the 24 x 24 here: too few to say much.
    criterion=dict(_delete_=True, type="CAVPCriterion", views=64),
)
