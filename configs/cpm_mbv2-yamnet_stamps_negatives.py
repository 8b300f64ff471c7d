"""One scene in four hears silence, noise or another scene, with nothing to segment."""

_base_ = "cpm_mbv2-yamnet_stamps.py"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            dict(type="RandomNegativeSound", load=dict(type="ComposeScene"), prob=0.25),
            dict(type="PackAVSInputs"),
        ]
    )
)
