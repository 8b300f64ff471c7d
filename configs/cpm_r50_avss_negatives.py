"""One sample in four hears silence, noise or another class, with nothing to segment."""

_base_ = "cpm_r50_avss.py"

train_dataloader = dict(
    dataset=dict(
        pipeline=[
            *_base_.load_visual,
            dict(type="RandomNegativeSound", load=_base_.load_window, prob=0.25),
            *_base_.random_crop,
            *_base_.augment,
            _base_.pad,
            _base_.pack,
        ]
    )
)
