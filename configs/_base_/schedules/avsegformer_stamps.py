"""AVSegFormer's schedule cut to the iterations of `schedule_stamps.py`; nothing is frozen."""

_base_ = "avsegformer.py"

# The best of three on validation scenes: docs/methods.md.
optim_wrapper = dict(optimizer=dict(lr=6e-4))
train_cfg = dict(_delete_=True, type="IterBasedTrainLoop", max_iters=600, val_interval=150)
custom_hooks = []
find_unused_parameters = False
auto_scale_lr = dict(base_batch_size=16)
