"""TPAVI's schedule cut to the iterations of `schedule_stamps.py`."""

_base_ = "tpavi.py"

# The best of four on validation scenes: docs/methods.md.
optim_wrapper = dict(optimizer=dict(lr=2e-4))
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=600, val_interval=150)
auto_scale_lr = dict(base_batch_size=16)
