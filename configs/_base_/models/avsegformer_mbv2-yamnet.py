# AVSegFormer with the backbones and the width of `cpm_mbv2-yamnet.py`: the methods alone differ.
_base_ = "./cpm_mbv2-yamnet.py"

model = dict(
    type="DenseSegmentor",
    decode_head=dict(
        _delete_=True,
        type="AVSegFormerHead",
        in_channels=[24, 32, 96, 320],
        audio_channels=512,
        embed_dims=128,
        num_queries=60,
        num_layers=2,
        feedforward_channels=512,
    ),
    criterion=dict(_delete_=True, type="AVSegFormerCriterion"),
)
