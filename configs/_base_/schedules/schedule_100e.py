"""The paper's schedule (appendix A): AdamW 1e-4, poly 0.9, batch 16, 100 epochs."""

_base_ = "adamw.py"

optim_wrapper = dict(optimizer=dict(lr=1e-4), clip_grad=dict(max_norm=0.01))
# It ends with training.
param_scheduler = [
    dict(
        type="PolyLR",
        eta_min=0.0,
        power=0.9,
        by_epoch=True,
        convert_to_iter_based=True,
    )
]

train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=100, val_interval=5)
