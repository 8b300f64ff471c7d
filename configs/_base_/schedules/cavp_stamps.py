"""CAVP's schedule cut to the iterations of `schedule_stamps.py`."""

_base_ = "cavp.py"

param_scheduler = dict(visual=[dict(type="PolyLR", power=0.9, by_epoch=False)])
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=600, val_interval=150)
